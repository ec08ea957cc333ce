//! The binary `understudy`: the controller (`serve`) and the operator's command line. It never decides anything about a server: that
//! is the pipeline's, reached through the API alone.
#![forbid(unsafe_code)]

mod address;
mod adopt;
mod agent;
mod backup;
mod bug;
mod cli;
mod complete;
mod confirm;
mod driver;
mod estate;
mod exit;
mod explain;
mod failover;
mod forms;
mod guard;
mod hold;
mod limits;
mod log;
mod machine;
mod maintenance;
mod names;
mod out;
mod plan;
mod progress;
mod render;
mod report;
mod restore;
mod run;
mod serve;
mod server;
mod session;
mod site;
mod spare;
mod status;
mod tier;
mod wait;
mod watch;

fn main() -> std::process::ExitCode {
    bug::guarded(run::run).into()
}
