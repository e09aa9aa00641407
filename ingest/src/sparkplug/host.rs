//! All edge nodes that a host follows.

use std::collections::BTreeMap;

use model::{RejectReason, TimestampUs};
use prost::Message as _;

use super::node::{Message, Node};
use super::payload::Payload;
use super::topic::{self, NodeId};
use super::{Effect, NODES_MAX, PAYLOAD_BYTES_MAX, Patience};

/// The host application's side of Sparkplug, without clock or network.
#[derive(Debug, Default)]
pub struct Host {
    patience: Patience,
    nodes: BTreeMap<NodeId, Node>,
}

impl Host {
    #[must_use]
    pub fn new(patience: Patience) -> Self {
        Self { patience, nodes: BTreeMap::new() }
    }

    /// A publish under `spBv1.0/`.
    pub fn apply(&mut self, topic: &str, payload: &[u8], now: TimestampUs) -> Vec<Effect> {
        let reject = |refusal| Effect::Reject { refusal, topic: topic.to_owned(), raw: payload.to_vec() };
        let address = match topic::parse(topic) {
            Ok(Some(address)) => address,
            Ok(None) => return Vec::new(),
            Err(refusal) => return vec![reject(refusal)],
        };
        if payload.len() > PAYLOAD_BYTES_MAX {
            let detail = format!("{} bytes, at most {PAYLOAD_BYTES_MAX} are accepted", payload.len());
            return vec![reject((RejectReason::TooLarge, detail))];
        }
        let decoded = match Payload::decode(payload) {
            Ok(decoded) => decoded,
            Err(error) => {
                return vec![reject((RejectReason::Shape, format!("no Sparkplug B payload: {error}")))];
            }
        };
        if decoded.is_compressed() {
            let detail = "a compressed payload: the edge node has to send it plain".to_owned();
            return vec![reject((RejectReason::Shape, detail))];
        }
        if !self.nodes.contains_key(&address.node) && self.nodes.len() >= NODES_MAX {
            return vec![reject((RejectReason::Session, format!("more than {NODES_MAX} edge nodes")))];
        }
        let message = Message {
            kind: address.kind,
            device: address.device,
            payload: decoded,
            topic: topic.to_owned(),
            raw: payload.to_vec(),
            received_at: now,
        };
        let node = self.nodes.entry(address.node.clone()).or_insert_with(|| Node::new(address.node, address.site));
        let mut effects = Vec::new();
        // What waited too long goes first, so that the same messages at the same times always do the same.
        node.tick(now, &self.patience, &mut effects);
        node.apply(message, &self.patience, &mut effects);
        effects
    }

    /// Time goes by: gives up on messages that do not come.
    pub fn tick(&mut self, now: TimestampUs) -> Vec<Effect> {
        let mut effects = Vec::new();
        for node in self.nodes.values_mut() {
            node.tick(now, &self.patience, &mut effects);
        }
        effects
    }

    /// The connection to the broker is gone. Births and deaths may happen unheard until the next one.
    pub fn unheard(&mut self) -> Vec<Effect> {
        let mut effects = Vec::new();
        for node in self.nodes.values_mut() {
            node.unheard(&mut effects);
        }
        effects
    }
}
