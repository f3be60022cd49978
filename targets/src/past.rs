//! What targets ask the feed's bounded past for.

use delivery::SendError;
use feed::{AnyFeed, ReadError};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use model::{Build, Buildset};
use std::collections::BTreeMap;

/// How many questions are with the feed at a time.
const AT_A_TIME: usize = 8;
/// The most builds of a buildset that are looked at: a message about more would be read by nobody.
pub const BUILDS: usize = 500;

/// The finished builds of a buildset that ended, one of each request, in the requests' order: where
/// a build was retried, the last. Those that the journal no longer has are left out.
///
/// # Errors
/// [`SendError::Transient`] if the feed gives no answer.
pub async fn builds_of(feed: &AnyFeed, buildset: &Buildset) -> Result<Vec<Build>, SendError> {
    let ids = buildset.builds.iter().copied().take(BUILDS);
    let builds: Vec<Option<Build>> = stream::iter(ids)
        .map(|id| feed.build(id))
        .buffered(AT_A_TIME)
        .try_collect()
        .await
        .map_err(|error| unread(&error))?;
    Ok(last_of_each_request(builds.into_iter().flatten()))
}

/// The last of each request's builds, in the requests' order.
fn last_of_each_request(builds: impl IntoIterator<Item = Build>) -> Vec<Build> {
    let mut last = BTreeMap::new();
    for build in builds {
        last.insert(build.request, build);
    }
    last.into_values().collect()
}

/// A question that got no answer is asked again.
pub fn unread(error: &ReadError) -> SendError {
    SendError::Transient(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::last_of_each_request;
    use model::{Build, BuildId, RequestId};

    #[test]
    fn a_build_that_was_retried_counts_by_its_last_try() {
        let build = |id, request| Build {
            id: BuildId(id),
            request: RequestId(request),
            ..Build::default()
        };
        let last = last_of_each_request([build(1, 8), build(2, 7), build(3, 8)]);
        let ids: Vec<u64> = last.iter().map(|build| build.id.0).collect();
        assert_eq!(ids, [2, 3]);
    }
}
