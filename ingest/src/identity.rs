//! Who a member of a consumer group is: which name it holds, and which process it is.

use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::client::Client;
use rdkafka::error::KafkaError;

use crate::kafka;

const MEMBERS_TIMEOUT: Duration = Duration::from_secs(2);

/// This process under a name that outlives it: who starts later under the same name takes its place in the group at once,
/// without waiting for Kafka to notice that the process before has died.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// `forecourt-{role}:{instance}:`, shared by all processes that were given this name.
    name: String,
    pub(crate) client_id: String,
}

impl Identity {
    pub(crate) fn of(role: &str, instance: &str) -> Self {
        let name = format!("forecourt-{role}:{instance}:");
        let client_id = format!("{name}{}-{}", std::process::id(), kafka::now().get());
        Self { name, client_id }
    }

    /// Whether one of these members is another process under the same name.
    pub(crate) fn is_held_by_another(&self, members: &[String]) -> bool {
        members.iter().any(|client_id| client_id.starts_with(&self.name) && *client_id != self.client_id)
    }
}

/// The client ids of a consumer group's members.
pub(crate) fn members_of<C: ClientContext>(client: &Client<C>, group: &str) -> Result<Vec<String>, KafkaError> {
    let groups = client.fetch_group_list(Some(group), MEMBERS_TIMEOUT)?;
    let members = groups.groups().iter().flat_map(|group| group.members());
    Ok(members.map(|member| member.client_id().to_owned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_process_under_the_same_name_is_told_from_this_one_and_from_other_names() {
        let own = Identity::of("router", "a");
        let member = |name: &str| format!("forecourt-router:{name}:1-1");
        assert!(!own.is_held_by_another(&[own.client_id.clone(), member("b"), member("aa"), "kcat".to_owned()]));
        assert!(own.is_held_by_another(&[member("a")]));
    }
}
