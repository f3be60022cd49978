//! What the assembler asks for, read over REST and turned into observations.

use super::Client;
use crate::{
    ClientError, Fingerprint,
    assembler::{Need, Observation},
    raw::{
        PREPARATION, RawBuild, RawBuilder, RawBuildset, RawChange, RawConfig, RawLog, RawProject,
        RawRequest, RawStep, RawWorker, property_map, row, rows,
    },
};
use futures_util::{StreamExt, TryStreamExt, stream};
use model::{
    Build, BuildId, Buildset, BuildsetId, Change, Log, Outcome, Properties, Request, RequestId,
    Step,
};
use std::collections::{BTreeMap, BTreeSet};

/// Most changes of one build; the newest.
const MAX_CHANGES: usize = 200;
/// Most steps of a build, and most logs of a step.
const MAX_STEPS: usize = 1000;
/// Most requests of one buildset.
const MAX_REQUESTS: usize = 1000;
/// The first release with the API as it is read here.
const OLDEST: u32 = 4;

impl Client {
    /// What the master says of itself; checks that it is a Buildbot of a known kind.
    pub(crate) async fn meta(&self) -> Result<Observation, ClientError> {
        match self.json("api/v2/masters?limit=1").await {
            Err(ClientError::NotFound(_)) => return Err(self.without_api().await),
            other => {
                rows::<serde_json::Value>(other?, "masters").map_err(ClientError::NotBuildbot)?;
            }
        }
        let config: RawConfig = match self.json("config").await {
            Err(ClientError::NotFound(_)) => {
                let reason = "it has no /config, which came with 4.0";
                return Err(ClientError::OldApi(reason.to_owned()));
            }
            other => row(other?).map_err(ClientError::NotBuildbot)?,
        };
        let version = config.version().unwrap_or_default();
        let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok());
        if major.is_some_and(|major| major < OLDEST) {
            return Err(ClientError::OldApi(format!("it is Buildbot {version}")));
        }
        Ok(config.into())
    }

    /// Why there is no API v2: an old Buildbot, or none at all.
    async fn without_api(&self) -> ClientError {
        match self.json("json/project").await {
            Ok(project) if project.get("buildbotURL").is_some() => {
                ClientError::OldApi("it speaks the API of Buildbot 0.8".to_owned())
            }
            _ => ClientError::NotBuildbot("it has no /api/v2".to_owned()),
        }
    }

    /// Reads what the assembler needs. What is not there is [`Observation::Absent`].
    pub(crate) async fn meet(&self, need: Need) -> Result<Observation, ClientError> {
        match self.answer(&need).await {
            Err(ClientError::NotFound(_) | ClientError::TooLarge { .. }) => {
                Ok(Observation::Absent(need))
            }
            other => other,
        }
    }

    async fn answer(&self, need: &Need) -> Result<Observation, ClientError> {
        Ok(match need {
            Need::Builders => self.builders().await?,
            Need::Workers => self.workers().await?,
            Need::Buildset(id) => {
                let buildset = Box::new(self.buildset(*id).await?);
                Observation::Buildset { buildset, whole: true, frame: false }
            }
            Need::BuildsetProperties(id) => {
                Observation::BuildsetProperties(*id, self.buildset_properties(*id).await?)
            }
            Need::Request(id) => {
                let raw: RawRequest = self.one(&format!("api/v2/buildrequests/{id}")).await?;
                Observation::Request(raw.into())
            }
            Need::RequestBuilt(id) => {
                let path = format!("api/v2/buildrequests/{id}/builds?limit=1");
                let builds: Vec<RawBuild> = self.list(&path).await?;
                Observation::RequestBuilt(*id, !builds.is_empty())
            }
            Need::Requests(id) => {
                let path = format!("api/v2/buildrequests?buildsetid={id}&limit={MAX_REQUESTS}");
                let raw: Vec<RawRequest> = self.list(&path).await?;
                // A master that ignores the filter must not make other requests its own.
                let requests = raw.into_iter().map(Request::from).filter(|r| r.buildset == *id);
                Observation::Requests(*id, requests.collect())
            }
            Need::Build(id) => Observation::Whole(Box::new(self.build(*id).await?)),
            Need::Changes(id) => Observation::Changes(*id, self.changes(*id).await?),
            Need::StampChanges(id, stamps) => {
                let mut changes = Vec::new();
                for stamp in stamps {
                    let path = format!("api/v2/sourcestamps/{stamp}/changes?limit={MAX_CHANGES}");
                    let raw: Vec<RawChange> = self.page(&path, "changeid").await?.rows;
                    changes.extend(raw.into_iter().map(Change::from));
                }
                Observation::StampChanges(*id, changes)
            }
            Need::Previous(id, builder, number) => {
                Observation::Previous(*id, self.outcome_before(builder.0, *number).await?)
            }
        })
    }

    pub(crate) async fn builders(&self) -> Result<Observation, ClientError> {
        let projects: Vec<RawProject> = match self.all("projects", "projectid").await {
            Err(ClientError::NotFound(_)) => Vec::new(),
            other => other?,
        };
        let projects = projects.into_iter().map(|p| (p.projectid, p.name)).collect();
        let all: Vec<RawBuilder> = self.all("builders", "builderid").await?;
        Ok(Observation::Builders(all.into_iter().map(|b| b.with(&projects)).collect()))
    }

    pub(crate) async fn workers(&self) -> Result<Observation, ClientError> {
        let all: Vec<RawWorker> = self.all("workers", "workerid").await?;
        Ok(Observation::Workers(all.into_iter().map(Into::into).collect()))
    }

    /// Rows of builds with their properties, without those that are gone.
    pub(crate) async fn builds(
        &self,
        ids: &[BuildId],
    ) -> Result<BTreeMap<BuildId, Build>, ClientError> {
        let rows: Vec<RawBuild> = self.many("builds", "buildid", ids, "&property=*").await?;
        let builds = rows.into_iter().map(Build::from);
        Ok(builds.filter(|b| ids.contains(&b.id)).map(|b| (b.id, b)).collect())
    }

    /// Which buildset each of these requests is of.
    pub(crate) async fn buildsets_of(
        &self,
        requests: impl Iterator<Item = RequestId>,
    ) -> Result<BTreeMap<RequestId, BuildsetId>, ClientError> {
        let ids: BTreeSet<RequestId> = requests.collect();
        let ids: Vec<RequestId> = ids.into_iter().collect();
        let rows: Vec<RawRequest> = self.many("buildrequests", "buildrequestid", &ids, "").await?;
        Ok(rows.into_iter().map(Request::from).map(|r| (r.id, r.buildset)).collect())
    }

    /// Buildsets with their properties, without those that are gone.
    pub(crate) async fn buildsets(
        &self,
        ids: &[BuildsetId],
    ) -> Result<Vec<(BuildsetId, Buildset)>, ClientError> {
        let rows: Vec<RawBuildset> = self.many("buildsets", "bsid", ids, "").await?;
        let rows = rows.into_iter().map(Buildset::from).filter(|b| ids.contains(&b.id));
        let with_properties = |buildset: Buildset| async move {
            let properties = self.buildset_properties(buildset.id).await?;
            Ok((buildset.id, Buildset { properties, ..buildset }))
        };
        stream::iter(rows).map(with_properties).buffered(2).try_collect().await
    }

    pub(crate) async fn buildset(&self, id: BuildsetId) -> Result<Buildset, ClientError> {
        let raw: RawBuildset = self.one(&format!("api/v2/buildsets/{id}")).await?;
        let properties = self.buildset_properties(id).await?;
        Ok(Buildset { properties, ..raw.into() })
    }

    async fn buildset_properties(&self, id: BuildsetId) -> Result<Properties, ClientError> {
        let path = format!("api/v2/buildsets/{id}/properties");
        let maps: Vec<serde_json::Value> = self.list(&path).await?;
        let map = maps.into_iter().next().unwrap_or_else(|| serde_json::json!({}));
        property_map(map).map_err(|e| ClientError::Garbage(format!("{path}: {e}")))
    }

    /// A build with properties, steps and logs. Its row is read first: if that says it has
    /// ended, all the rest is final.
    pub(crate) async fn build(&self, id: BuildId) -> Result<Build, ClientError> {
        let raw: RawBuild = self.one(&format!("api/v2/builds/{id}?property=*")).await?;
        let mut build = Build::from(raw);
        build.steps = self.steps(id).await?;
        Ok(build)
    }

    pub(crate) async fn steps(&self, id: BuildId) -> Result<Vec<Step>, ClientError> {
        let path = format!("api/v2/builds/{id}/steps?limit={MAX_STEPS}");
        let raw: Vec<RawStep> = self.page(&path, "stepid").await?.rows;
        let with_logs = |raw: RawStep| async move {
            let mut step = Step::from(raw);
            // The master's own step has a log only where it failed.
            let own = step.name == PREPARATION && step.outcome == Some(Outcome::Success);
            if step.started_at.is_some() && !own {
                let path = format!("api/v2/steps/{}/logs?limit={MAX_STEPS}", step.id);
                let logs: Vec<RawLog> = self.page(&path, "logid").await?.rows;
                step.logs = logs.into_iter().map(Log::from).collect();
                step.logs.sort_by_key(|log| log.id);
            }
            Ok::<_, ClientError>(step)
        };
        let mut steps: Vec<Step> =
            stream::iter(raw).map(with_logs).buffered(2).try_collect().await?;
        steps.sort_by_key(|step| step.number);
        Ok(steps)
    }

    pub(crate) async fn changes(&self, id: BuildId) -> Result<Vec<Change>, ClientError> {
        let path = format!("api/v2/builds/{id}/changes?order=-changeid&limit={MAX_CHANGES}");
        let raw: Vec<RawChange> = self.page(&path, "changeid").await?.rows;
        Ok(raw.into_iter().map(Into::into).collect())
    }

    /// The outcome of the highest finished build of a builder below a number.
    pub(crate) async fn outcome_before(
        &self,
        builder: u64,
        number: u64,
    ) -> Result<Option<Outcome>, ClientError> {
        let path = format!(
            "api/v2/builders/{builder}/builds?complete=true&number__lt={number}&order=-number&limit=1"
        );
        let raw: Vec<RawBuild> = self.list(&path).await?;
        Ok(raw.into_iter().next().and_then(|b| Build::from(b).outcome))
    }

    /// By what a build of the master's database is known again; `None` if it has no such build.
    pub(crate) async fn fingerprint(
        &self,
        id: BuildId,
    ) -> Result<Option<Fingerprint>, ClientError> {
        match self.one::<RawBuild>(&format!("api/v2/builds/{id}")).await {
            Err(ClientError::NotFound(_)) => Ok(None),
            Err(other) => Err(other),
            Ok(raw) => Ok(Some(Fingerprint::of(&raw.into()))),
        }
    }
}
