//! What a configuration names and the global configuration does not know: not errors, since the
//! registry may learn of it later, but worth saying.

use std::collections::BTreeSet;

use causeway_globalconf::GlobalConf;

use super::{Client, Settings, Subject};

impl Settings {
    /// What these settings name and the global configuration does not know, each in a sentence.
    pub fn doubts(&self, conf: &GlobalConf) -> Vec<String> {
        let mut doubts = BTreeSet::new();
        let is_registered = conf.server(&self.server).is_some();
        if !is_registered {
            doubts.insert(format!("the registry knows no {}", self.server));
        }
        for client in self.clients.iter() {
            let here = client.registered && is_registered;
            if here && !conf.is_registered_client(&self.server, &client.id) {
                doubts.insert(format!(
                    "{} is not registered on {}; register it, or write registered = false",
                    client.id, self.server
                ));
            }
            Self::doubts_of_rights(client, conf, &mut doubts);
        }
        let approved = conf.approved_tsas(conf.instance());
        for service in &self.timestamping.services {
            if !approved.iter().any(|tsa| tsa.name == *service || tsa.url == *service) {
                let names: Vec<&str> = approved.iter().map(|tsa| tsa.name.as_str()).collect();
                doubts.insert(format!(
                    "'{service}' is no approved timestamping service; there are: {}",
                    names.join(", ")
                ));
            }
        }
        doubts.into_iter().collect()
    }

    fn doubts_of_rights(client: &Client, conf: &GlobalConf, doubts: &mut BTreeSet<String>) {
        let mut unknown = |subject: &dyn std::fmt::Display, role: String| {
            doubts.insert(format!("{subject}, {role} of {}, is not in the registry", client.id));
        };
        for (code, members) in &client.local_groups {
            for id in members.iter().filter(|id| !conf.has_client(id)) {
                unknown(id, format!("in the group '{code}'"));
            }
        }
        for service in client.services.values() {
            let role = || format!("allowed the service '{}'", service.id.code());
            for right in &service.rights {
                match &right.subject {
                    Subject::Client(id) if !conf.has_client(id) => unknown(id, role()),
                    Subject::GlobalGroup(id) if conf.global_group_description(id).is_none() => {
                        unknown(id, role());
                    }
                    _ => {}
                }
            }
        }
    }
}
