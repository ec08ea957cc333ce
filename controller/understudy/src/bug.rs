//! What happens when we made a mistake: it is said as ours, with its place, and the process ends with its own exit code. A panic of
//! the core's thread ends `serve` too: a controller whose core is dead must not look alive.

use crate::exit::Exit;
use crate::out;
use std::panic::{AssertUnwindSafe, PanicHookInfo};
use tokio::sync::Notify;

/// The thread without which there is no controller.
const CORE: &str = "core";

/// Told when the core's thread has panicked.
pub static CORE_DIED: Notify = Notify::const_new();

fn say(info: &PanicHookInfo<'_>) {
    let payload = info.payload();
    let text = payload.downcast_ref::<&str>().copied().or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    out::talk(&format!(
        "understudy: F0070: this is a bug of ours: {} ({place}, version {})\n  help: please report it with this line and what you did\n  more: understudy explain F0070",
        crate::render::clean(text.unwrap_or("no text")),
        env!("CARGO_PKG_VERSION"),
    ));
    if std::thread::current().name() == Some(CORE) {
        CORE_DIED.notify_one();
    }
}

/// Runs to an exit code, whatever happens.
pub fn guarded(run: impl FnOnce() -> Exit) -> Exit {
    std::panic::set_hook(Box::new(say));
    std::panic::catch_unwind(AssertUnwindSafe(run)).unwrap_or(Exit::Bug)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_our_bug() {
        assert_eq!(guarded(|| panic!("on purpose")), Exit::Bug);
        assert_eq!(guarded(|| Exit::NotFound), Exit::NotFound);
        // the other tests of this process panic as tests do
        drop(std::panic::take_hook());
    }
}
