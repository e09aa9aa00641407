//! `spBv1.0/{group}/{kind}/{edge}[/{device}]`.

use model::{RejectReason, SiteId};

use crate::decode::Refusal;

pub(super) const NAMESPACE: &str = "spBv1.0";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    NodeBirth,
    NodeData,
    NodeDeath,
    DeviceBirth,
    DeviceData,
    DeviceDeath,
}

/// An edge node, by group and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct NodeId {
    pub(super) group: String,
    pub(super) edge: String,
}

impl NodeId {
    /// Where it listens for commands.
    pub(super) fn command_topic(&self) -> String {
        format!("{NAMESPACE}/{}/NCMD/{}", self.group, self.edge)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) node: NodeId,
    /// The edge node's name.
    pub(super) site: SiteId,
    pub(super) kind: Kind,
    /// Exactly for messages of devices.
    pub(super) device: Option<String>,
}

/// `None` for what is not addressed to a host: commands, and hosts' own states.
pub(super) fn parse(topic: &str) -> Result<Option<Address>, Refusal> {
    let wrong = |what: String| Err((RejectReason::Address, what));
    let levels: Vec<&str> = topic.split('/').collect();
    let (group, kind, edge, device) = match levels[..] {
        [NAMESPACE, "STATE", _] | [NAMESPACE, _, "NCMD", _] | [NAMESPACE, _, "DCMD", _, _] => return Ok(None),
        [NAMESPACE, group, kind, edge] => (group, kind, edge, None),
        [NAMESPACE, group, kind, edge, device] => (group, kind, edge, Some(device)),
        _ => return wrong(format!("topic {topic:?} is not {NAMESPACE}/{{group}}/{{kind}}/{{edge}}[/{{device}}]")),
    };
    let kind = match (kind, device) {
        ("NBIRTH", None) => Kind::NodeBirth,
        ("NDATA", None) => Kind::NodeData,
        ("NDEATH", None) => Kind::NodeDeath,
        ("DBIRTH", Some(_)) => Kind::DeviceBirth,
        ("DDATA", Some(_)) => Kind::DeviceData,
        ("DDEATH", Some(_)) => Kind::DeviceDeath,
        _ => {
            return wrong(format!(
                "topic {topic:?}: {kind:?} is no message of an edge node or, with a fifth level, a device"
            ));
        }
    };
    let site = match SiteId::new(edge) {
        Ok(site) => site,
        Err(error) => return wrong(format!("edge node {edge:?} names no site: {error}")),
    };
    let node = NodeId { group: group.to_owned(), edge: edge.to_owned() };
    Ok(Some(Address { node, site, kind, device: device.map(str::to_owned) }))
}
