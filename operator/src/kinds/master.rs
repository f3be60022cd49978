//! `Master`: one pod that reads a master and keeps its journal.

use super::{Kind, targets::json};
use crate::{
    KeyError,
    children::{
        self, Child, ChildKind, FEED_PORT, Means, NetworkRules, PodPlan, config_map, feed_service,
        feed_set, keys_secret, network_policy, pod_monitor, service_account, volume_claim,
    },
    reconcile::{Around, Figures},
};
use crds::{Master, MasterRef};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::Resource as _;
use serde_json::{Value, json as object};

impl Kind for Master {
    const COMPONENT: &'static str = "feed";
    const KIND: &'static str = "Master";
    const SENDS: bool = false;

    fn master_ref(&self) -> Option<&MasterRef> {
        None
    }

    fn consumer(&self, _: &str) -> Option<String> {
        None
    }

    fn children(&self, around: &Around, means: &Means<'_>) -> Result<Vec<Child>, KeyError> {
        let parent = self.parent();
        let keys = means.seeds.of_master(&parent.uid);
        let manifest = children::manifest(&parent, &self.spec);
        // A feed that starts with another journal than this one says that it was lost.
        let mut kept = manifest.clone();
        let epoch = self.status.as_ref().and_then(|status| status.journal_epoch);
        if let Some(epoch) = epoch.filter(|_| !self.spec.storage.ephemeral) {
            kept["status"] = object!({ "journalEpoch": epoch });
        }
        let plan = PodPlan {
            parent: &parent,
            settings: means.settings,
            pod: self.spec.pod.as_ref(),
            manifest: &manifest,
            secrets: &around.secrets,
            feed: None,
            pages: None,
            program: None,
            port: Some(("feed", FEED_PORT)),
            resources: object!({
                "requests": { "cpu": "50m", "memory": "96Mi" },
                "limits": { "memory": "512Mi" },
            }),
        };
        let mut children = vec![
            service_account(&parent),
            keys_secret(&parent, &keys),
            config_map(&parent, &kept),
            feed_service(&parent),
            feed_set(&plan, self.spec.storage.ephemeral),
        ];
        children.extend(volume_claim(&parent, &self.spec));
        if means.settings.network_policies {
            let rules = NetworkRules {
                feed_readers: true,
                peer: super::port_of(&self.spec.url),
                cidrs: self.spec.egress.as_ref().map(|e| e.cidrs.clone()).unwrap_or_default(),
                traces: means.settings.trace_port(),
                ..NetworkRules::default()
            };
            children.push(network_policy(&parent, &rules));
        }
        if means.has(ChildKind::PodMonitor) {
            children.push(pod_monitor(&parent, &means.settings.pod_monitor_labels));
        }
        Ok(children)
    }

    fn conditions(&self) -> &[Condition] {
        self.status.as_ref().map_or(&[], |status| &status.conditions)
    }

    fn present_status(&self) -> Value {
        json(&self.status)
    }

    fn status(
        &self,
        conditions: &[Condition],
        around: &Around,
        figures: Option<&Figures>,
    ) -> Value {
        let mut status = self.status.clone().unwrap_or_default();
        status.observed_generation = self.meta().generation;
        status.conditions = conditions.to_vec();
        status.targets = Some(u32::try_from(around.targets.len()).unwrap_or(u32::MAX));
        if let Some(info) = figures.and_then(|figures| figures.info.as_ref()) {
            status.journal_epoch = Some(info.head.epoch.into());
        }
        json(&status)
    }
}
