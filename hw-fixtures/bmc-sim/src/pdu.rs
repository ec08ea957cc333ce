//! A power distribution unit over a real socket: the world's table of one unit, served by SNMP v2c and v3, and a wire before it that can lose,
//! delay and soil what passes.
//! Must never do to the unit anything but what a SET asked for, nor answer for one that has no power.

mod wire;

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context;
use async_snmp::handler::{
    BoxFuture, GetNextResult, GetResult, HandlerError, HandlerResult, MibHandler, PreparedSet, RequestContext, SecurityModel,
    SetCommitResult, SetTestError, SetTestResult, SetUndoResult,
};
use async_snmp::{Agent, AuthProtocol, AuthoritativeEngine, Oid, PrivProtocol, SecurityLevel, Value, VarBind, oid};
use tokio::task::JoinHandle;
pub use wire::Weather;
use wire::Wire;
use world::outlet::mib::{self, Mib, SetError};

/// Who is let in.
#[derive(Clone, Debug)]
pub struct Access {
    /// The community of v2c; none: that is not spoken.
    pub community: Option<String>,
    /// A user of v3, with SHA-256 and AES-128; none: that is not spoken.
    pub user: Option<User>,
    /// False: whoever is let in may only read.
    pub may_write: bool,
}

/// A user of v3.
#[derive(Clone)]
pub struct User {
    /// Its name.
    pub name: String,
    /// Its password for authentication, 8 bytes or more.
    pub authentication: String,
    /// Its password for privacy, 8 bytes or more.
    pub privacy: String,
}

impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "User({})", self.name)
    }
}

/// A unit that is served until this is dropped.
pub struct PduServer {
    address: SocketAddr,
    wire: Arc<Wire>,
    sets: Arc<AtomicU64>,
    agent: Agent,
    tasks: [JoinHandle<()>; 2],
}

impl Drop for PduServer {
    fn drop(&mut self) {
        self.agent.cancel();
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl std::fmt::Debug for PduServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PduServer({})", self.address)
    }
}

/// The unit's table, as the SNMP agent asks for it.
struct Table {
    mib: Mib,
    wire: Arc<Wire>,
    sets: Arc<AtomicU64>,
}

/// A SET that is done already: the administration decides by doing.
struct Done;

fn shown(value: mib::Value) -> GetResult {
    GetResult::Value(match value {
        mib::Value::Integer(value) => Value::Integer(value),
        mib::Value::Text(text) => Value::OctetString(text.into_bytes().into()),
        mib::Value::Ticks(ticks) => Value::TimeTicks(ticks),
        mib::Value::NoObject => return GetResult::NoSuchObject,
        mib::Value::NoInstance => return GetResult::NoSuchInstance,
    })
}

fn given(value: &Value) -> mib::Value {
    match value {
        Value::Integer(value) => mib::Value::Integer(*value),
        Value::OctetString(bytes) => mib::Value::Text(String::from_utf8_lossy(bytes).into_owned()),
        _ => mib::Value::NoObject,
    }
}

/// Never told: the wire carries nothing from a unit without power.
fn dark() -> HandlerError {
    HandlerError::new("the unit has no power")
}

impl MibHandler for Table {
    fn get<'a>(&'a self, _: &'a RequestContext, oid: &'a Oid) -> BoxFuture<'a, HandlerResult<GetResult>> {
        Box::pin(async move { self.mib.get(oid.arcs()).await.map(shown).map_err(|_| dark()) })
    }

    fn get_next<'a>(&'a self, _: &'a RequestContext, oid: &'a Oid) -> BoxFuture<'a, HandlerResult<GetNextResult>> {
        Box::pin(async move {
            let next = self.mib.objects().into_iter().find(|object| object.as_slice() > oid.arcs());
            let Some(next) = next else { return Ok(GetNextResult::EndOfMibView) };
            match shown(self.mib.get(&next).await.map_err(|_| dark())?) {
                GetResult::Value(value) => Ok(GetNextResult::Value(VarBind::new(Oid::new(next), value))),
                GetResult::NoSuchObject | GetResult::NoSuchInstance => Ok(GetNextResult::EndOfMibView),
            }
        })
    }

    fn test_set<'a>(&'a self, _: &'a RequestContext, oid: &'a Oid, value: &'a Value) -> BoxFuture<'a, SetTestResult> {
        Box::pin(async move {
            self.sets.fetch_add(1, Ordering::Relaxed);
            let done = self.mib.set(oid.arcs(), &given(value)).await;
            self.wire.a_set_was_taken();
            match done {
                Ok(()) => Ok(Box::new(Done) as Box<dyn PreparedSet>),
                Err(SetError::NotWritable) => Err(SetTestError::NotWritable),
                Err(SetError::NoCreation) => Err(SetTestError::NoCreation),
                Err(SetError::WrongType) => Err(SetTestError::WrongType),
                Err(SetError::WrongValue) => Err(SetTestError::WrongValue),
                Err(SetError::General | SetError::Dark) => Err(SetTestError::GeneralFailure),
            }
        })
    }
}

impl PreparedSet for Done {
    fn commit<'a>(&'a mut self, _: &'a RequestContext, _: &'a Oid, _: &'a Value) -> BoxFuture<'a, SetCommitResult> {
        Box::pin(async { Ok(()) })
    }

    fn undo<'a>(&'a mut self, _: &'a RequestContext, _: &'a Oid, _: &'a Value) -> BoxFuture<'a, SetUndoResult> {
        Box::pin(async { Ok(()) })
    }
}

/// The SNMP agent behind the wire.
async fn agent(table: Arc<Table>, access: &Access) -> anyhow::Result<Agent> {
    let everything = || oid!(1, 3, 6, 1);
    let mut builder = Agent::builder().bind("127.0.0.1:0").without_builtin_handlers().handler(everything(), table);
    if let Some(community) = &access.community {
        builder = builder.community(community.as_bytes());
    }
    if let Some(user) = &access.user {
        // a unit of its own each time: nothing is to be kept
        let engine = AuthoritativeEngine::install(async_snmp::generate_engine_id()?, |_| Ok::<(), Infallible>(()))?;
        builder = builder.authoritative_engine(engine).usm_user(user.name.clone(), |known| {
            known.auth_priv(AuthProtocol::Sha256, user.authentication.as_bytes(), PrivProtocol::Aes128, user.privacy.as_bytes())
        })?;
    }
    let writes = access.may_write;
    let builder = builder.vacm(|mut vacm| {
        if let Some(community) = &access.community {
            vacm = vacm.group(community.as_bytes().to_vec(), SecurityModel::V2c, "clear");
        }
        if let Some(user) = &access.user {
            vacm = vacm.group(user.name.as_bytes().to_vec(), SecurityModel::Usm, "user");
        }
        for (group, model, level) in
            [("clear", SecurityModel::V2c, SecurityLevel::NoAuthNoPriv), ("user", SecurityModel::Usm, SecurityLevel::AuthPriv)]
        {
            vacm = vacm.access(group, model, level, |access| {
                let access = access.read_view("all");
                if writes { access.write_view("all") } else { access }
            });
        }
        vacm.view("all", |view| view.include(everything()))
    });
    Ok(builder.build().await?)
}

impl PduServer {
    /// Serves these objects on a port of its own on the loopback.
    pub async fn start(mib: Mib, access: &Access) -> anyhow::Result<PduServer> {
        PduServer::start_at(mib, access, (Ipv4Addr::LOCALHOST, 0).into()).await
    }

    /// The same at this address. It is another SNMP engine each time.
    pub async fn start_at(mib: Mib, access: &Access, address: SocketAddr) -> anyhow::Result<PduServer> {
        let unit = mib.unit().clone();
        let (wire, sets) = (Arc::new(Wire::new(unit)), Arc::new(AtomicU64::new(0)));
        let table = Arc::new(Table { mib, wire: wire.clone(), sets: sets.clone() });
        let agent = agent(table, access).await.context("the unit's SNMP agent")?;
        let front = tokio::net::UdpSocket::bind(address).await.context("the unit's socket")?;
        let address = front.local_addr()?;
        let serving = tokio::spawn({
            let agent = agent.clone();
            async move {
                if let Err(error) = agent.run().await {
                    tracing::warn!(%error, "a unit's SNMP agent ended");
                }
            }
        });
        let carrying = tokio::spawn(wire.clone().carry(front, agent.local_addr()));
        Ok(PduServer { address, wire, sets, agent, tasks: [serving, carrying] })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The wire is like this from now on.
    pub fn weather(&self, weather: Weather) {
        self.wire.set(weather);
    }

    /// How many SETs reached the unit.
    pub fn sets(&self) -> u64 {
        self.sets.load(Ordering::Relaxed)
    }
}
