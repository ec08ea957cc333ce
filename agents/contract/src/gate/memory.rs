//! What a gate keeps, and how it stands in the file: one header line with version, length and SHA-256, then the body as JSON.
//! Nothing here touches a disk, and reading is total: whatever the bytes are, the answer is a memory or the reason why not.

use crate::agent::Standing;
use crate::limits;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use vocabulary::request::{Action, AgentError, Answer, GateEntry, Holder, Resource};
use vocabulary::{AgentId, ControllerLife, Epoch, EstateUuid, Lineage, OpId, PlanId};

/// Version of the file's form.
pub const FORMAT_VERSION: u32 = 1;

/// Everything that one gate keeps.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Memory {
    /// Whose memory this is; another agent's file is foreign.
    pub agent: AgentId,
    /// The estate it is enrolled in.
    pub estate: EstateUuid,
    /// The store's lineage it obeys.
    pub lineage: Lineage,
    /// The process on that store that it obeys. `None`: nobody has introduced himself yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub controller: Option<ControllerLife>,
    /// False: observe and revoke only.
    pub trusted: bool,
    /// True between the first file and the mark that the enrolment was used: nothing was served yet.
    pub seeding: bool,
    /// Where this was written ([`super::Disk::home`]): elsewhere it is a copy. `None` in a file of before this was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub home: Option<String>,
    /// Counts changes; the newest durable one is what may be acknowledged.
    pub serial: u64,
    /// No resource takes an epoch below this one (set by `readopt`).
    pub floor: Epoch,
    /// By resource.
    #[serde(with = "as_list")]
    pub kept: BTreeMap<Resource, Kept>,
}

/// What is kept of one resource.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Kept {
    pub resource: Resource,
    pub epoch: Epoch,
    pub plan: Option<PlanId>,
    pub holder: Option<Holder>,
    pub barred: Option<Epoch>,
    /// What the device was last set to, or is to be kept at: re-applied by a driver after a restart.
    pub standing: Option<Action>,
    /// Commands of the newest epoch, oldest first.
    pub ops: Vec<OpRecord>,
    /// The highest number among the commands of this epoch that were dropped from `ops`.
    pub forgotten: Option<u64>,
    /// The highest number among the commands of this epoch that were confirmed, 0 if none was; `None` in a file of before this was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done: Option<u64>,
}

/// One command.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct OpRecord {
    pub op: OpId,
    /// SHA-256 of the action without its secrets: the same op with another action is no retry.
    pub digest: String,
    /// `None` until it ended. After a restart that means: nobody knows.
    pub outcome: Option<Result<Answer, AgentError>>,
}

impl Kept {
    pub fn new(resource: Resource) -> Kept {
        Kept {
            resource,
            epoch: Epoch::default(),
            plan: None,
            holder: None,
            barred: None,
            standing: None,
            ops: Vec::new(),
            forgotten: None,
            done: Some(0),
        }
    }

    pub fn entry(&self) -> GateEntry {
        GateEntry {
            resource: self.resource.clone(),
            epoch: self.epoch,
            plan: self.plan,
            holder: self.holder.clone(),
            barred: self.barred,
            done: self.done,
        }
    }

    /// Takes the epoch of a plan. Commands of an older epoch can never be answered again (the epoch is asked first), so those that ended
    /// go; an unfinished one stays until it is known that the device is done with it.
    pub fn raise(&mut self, epoch: Epoch, plan: PlanId) {
        if epoch > self.epoch {
            self.epoch = epoch;
            self.ops.retain(|record| record.outcome.is_none());
            self.forgotten = None;
            self.done = Some(0);
            self.plan = Some(plan);
        } else if epoch == self.epoch && self.plan.is_none() {
            self.plan = Some(plan);
        }
    }

    /// Remembers a command; the oldest ended one goes when there is no room.
    pub fn remember(&mut self, record: OpRecord) {
        while self.ops.len() >= limits::OPS_PER_RESOURCE_MAX {
            let oldest = self.ops.iter().position(|o| o.outcome.is_some()).unwrap_or(0);
            let gone = self.ops.remove(oldest);
            if gone.op.epoch == self.epoch {
                self.forgotten = self.forgotten.max(Some(gone.op.number));
            }
        }
        self.ops.push(record);
    }
}

impl Memory {
    pub fn new(agent: AgentId, estate: EstateUuid, lineage: Lineage) -> Memory {
        Memory {
            agent,
            estate,
            lineage,
            controller: None,
            trusted: false,
            seeding: false,
            home: None,
            serial: 0,
            floor: Epoch::default(),
            kept: BTreeMap::new(),
        }
    }

    /// The resource's record, made if absent.
    pub fn kept_mut(&mut self, resource: &Resource) -> &mut Kept {
        self.kept.entry(resource.clone()).or_insert_with(|| Kept::new(resource.clone()))
    }

    pub fn entries(&self) -> Vec<GateEntry> {
        self.kept.values().map(Kept::entry).collect()
    }

    /// What a driver is to put back or to keep, bars first.
    pub fn standing(&self) -> Vec<Standing> {
        let mut standing: Vec<Standing> =
            self.kept.values().map(|kept| Standing { entry: kept.entry(), action: kept.standing.clone() }).collect();
        standing.sort_by_key(|s| s.entry.barred.is_none());
        standing
    }

    /// Takes an entry of the estate's ledger in. Never lowers an epoch, never drops a bar. What the ledger knows to be done is done by then:
    /// the entry tells what became of it.
    pub fn adopt(&mut self, entry: GateEntry) {
        let kept = self.kept_mut(&entry.resource);
        if entry.epoch > kept.epoch {
            kept.epoch = entry.epoch;
            kept.plan = entry.plan;
            kept.ops.clear();
            kept.forgotten = None;
            kept.done = Some(0);
        }
        if entry.epoch == kept.epoch {
            kept.plan = kept.plan.or(entry.plan);
            kept.done = kept.done.max(entry.done);
        }
        kept.barred = kept.barred.max(entry.barred);
        let is_holder =
            |held: &Holder| entry.holder.as_ref().is_some_and(|h| (&h.server, &h.machine) == (&held.server, &held.machine));
        if matches!(&kept.standing, Some(Action::JoinPort { holder, .. }) if !is_holder(holder)) {
            // an older copy of a memory: the port is another's by now
            kept.standing = None;
        }
        kept.holder = entry.holder.or(kept.holder.take());
    }

    /// Takes in how a port is to stand. Only its own quarantine is a barred port's setting, and only a barred port's.
    pub fn adopt_port(&mut self, action: Action) {
        for resource in action.resources() {
            let kept = self.kept_mut(&resource);
            if kept.barred.is_some() == matches!(action, Action::BarPort { .. }) {
                kept.standing = Some(action.clone());
            }
        }
    }

    /// The file's bytes.
    pub fn encode(&self) -> Result<Vec<u8>, serde_json::Error> {
        framed(&serde_json::to_vec(self)?)
    }

    /// Reads a file's bytes.
    pub fn decode(bytes: &[u8]) -> Result<Memory, Unreadable> {
        let newline = bytes.iter().position(|b| *b == b'\n').ok_or(Unreadable::Torn)?;
        let (head, rest) = bytes.split_at(newline);
        let header: Header = serde_json::from_slice(head).map_err(|_| Unreadable::Torn)?;
        if header.version > FORMAT_VERSION {
            return Err(Unreadable::Newer(header.version));
        }
        let length = usize::try_from(header.length).map_err(|_| Unreadable::Torn)?;
        let end = length.checked_add(1).ok_or(Unreadable::Torn)?;
        let body = rest.get(1..end).ok_or(Unreadable::Torn)?;
        if rest.get(end..) != Some(b"\n".as_slice()) || sha256_hex(body) != header.sha256 {
            return Err(Unreadable::Torn);
        }
        serde_json::from_slice(body).map_err(|_| Unreadable::Torn)
    }
}

/// A body in the file's form.
pub(crate) fn framed(body: &[u8]) -> Result<Vec<u8>, serde_json::Error> {
    let header = Header { version: FORMAT_VERSION, length: body.len() as u64, sha256: sha256_hex(body) };
    Ok([&serde_json::to_vec(&header)?, b"\n".as_slice(), body, b"\n"].concat())
}

#[derive(Serialize, Deserialize)]
struct Header {
    version: u32,
    length: u64,
    sha256: String,
}

/// Why a gate file's content is not a memory.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum Unreadable {
    /// Cut short, changed, or not a gate file.
    #[error("it is torn or was changed (length or SHA-256 do not fit)")]
    Torn,
    /// Written by a newer agent.
    #[error("its format {0} is newer than this agent's ({FORMAT_VERSION})")]
    Newer(u32),
}

/// SHA-256 in hex.
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

mod as_list {
    use super::{Kept, Resource};
    use serde::{Deserialize, Deserializer, Serializer};
    use std::collections::BTreeMap;

    pub fn serialize<S: Serializer>(kept: &BTreeMap<Resource, Kept>, s: S) -> Result<S::Ok, S::Error> {
        s.collect_seq(kept.values())
    }
    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<BTreeMap<Resource, Kept>, D::Error> {
        Ok(Vec::<Kept>::deserialize(d)?.into_iter().map(|kept| (kept.resource.clone(), kept)).collect())
    }
}
