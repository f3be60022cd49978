//! An answer that is lost on its way.

use crate::world::{Way, World, build, composed, target};
use delivery::{Sent, Target as _};
use e2e::{Link, wait_until};
use model::Outcome;
use serde_json::json;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy},
    net::{TcpListener, TcpStream},
};

/// Forwards a free port to `target`. While `mute` is set, what the server says to a POST does not come through.
async fn forgetful(target: u16, mute: Arc<AtomicBool>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let far = TcpStream::connect(("127.0.0.1", target)).await.unwrap();
            tokio::spawn(forward(near, far, Arc::clone(&mute)));
        }
    });
    port
}

async fn forward(near: TcpStream, far: TcpStream, mute: Arc<AtomicBool>) {
    let ((mut from, mut to), (mut answers, mut questions)) = (near.into_split(), far.into_split());
    let posted = Arc::new(AtomicBool::new(false));
    let post = Arc::clone(&posted);
    tokio::spawn(async move {
        let mut bytes = vec![0; 64 * 1024];
        while let Ok(n @ 1..) = from.read(&mut bytes).await {
            if bytes.starts_with(b"POST") && mute.load(Ordering::SeqCst) {
                post.store(true, Ordering::SeqCst);
            }
            if questions.write_all(&bytes[..n]).await.is_err() {
                return;
            }
        }
    });
    let mut bytes = vec![0; 64 * 1024];
    while let Ok(n @ 1..) = answers.read(&mut bytes).await {
        if posted.load(Ordering::SeqCst) {
            // Read on, so that the server sees nothing of it.
            let _ = copy(&mut answers, &mut tokio::io::sink()).await;
            return;
        }
        if to.write_all(&bytes[..n]).await.is_err() {
            return;
        }
    }
}

pub async fn g01_a_review_whose_answer_was_lost_is_not_sent_twice(world: &World) {
    let change = world.gerrit().change("demo").await;
    let mute = Arc::new(AtomicBool::new(true));
    let port = forgetful(world.gerrit().http(), Arc::clone(&mute)).await;
    let mut spec = world.spec(Way::Rest, &json!({ "review": { "message": "once, please" } }));
    spec.http.as_mut().unwrap().url = format!("http://127.0.0.1:{port}/");
    let target = target(&spec, &world.secrets());
    let mut message = composed(&target, build(&change, "linux", Outcome::Success));
    let there = wait_until("the review is there", Duration::from_secs(60), async || {
        (!world.said(&change).await.is_empty()).then_some(())
    });
    tokio::select! {
        () = there => {}
        sent = target.send(&mut message) => panic!("an answer came: {sent:?}"),
    }
    mute.store(false, Ordering::SeqCst);
    assert_eq!(target.send(&mut message).await.unwrap(), Sent::Whole);
    let said = ["Patch Set 1: Verified+1\n\nonce, please"];
    assert_eq!(world.said(&change).await, said);
    // Another event that says the same is another message.
    let mut other = composed(&target, build(&change, "linux", Outcome::Success));
    target.send(&mut other).await.unwrap();
    assert_eq!(world.said(&change).await.len(), 2);
}

pub async fn g01_over_ssh_a_review_that_is_there_is_not_sent_twice_either(world: &World) {
    let target = world.target(Way::Ssh, &json!({ "review": { "message": "once, please" } }));
    // The end of the command comes soon after the review is there: a try that hears of it is no try.
    for _ in 0..40 {
        let change = world.gerrit().change("demo").await;
        let mut message = composed(&target, build(&change, "linux", Outcome::Success));
        let there = async { while world.said(&change).await.is_empty() {} };
        tokio::select! {
            biased;
            () = there => {}
            _ = target.send(&mut message) => continue,
        }
        assert_eq!(target.send(&mut message).await.unwrap(), Sent::Whole);
        let said = ["Patch Set 1: Verified+1\n\nonce, please"];
        assert_eq!(world.said(&change).await, said);
        return;
    }
    panic!("each of 40 reviews was answered before it could be seen");
}

/// A connection is kept for the next review; one that was cut meanwhile costs nothing but a new one.
pub async fn g01_reviews_go_over_one_connection_and_past_one_that_was_cut(world: &World) {
    let mut spec = world.spec(Way::Ssh, &json!({ "review": { "message": "once, please" } }));
    let link = Link::start(spec.port).await;
    let mut secrets = world.secrets();
    let (from, to) = (format!("]:{} ", spec.port), format!("]:{} ", link.port()));
    secrets.known_hosts = secrets.known_hosts.map(|hosts| hosts.replace(&from, &to));
    spec.port = link.port();
    let target = target(&spec, &secrets);
    let review = async || {
        let change = world.gerrit().change("demo").await;
        let mut message = composed(&target, build(&change, "linux", Outcome::Success));
        assert_eq!(target.send(&mut message).await.unwrap(), Sent::Whole);
        assert_eq!(world.said(&change).await, ["Patch Set 1: Verified+1\n\nonce, please"]);
    };
    review().await;
    // No new connection is taken: the next review goes over the one that is there.
    link.close().await;
    review().await;
    link.accept().await;
    for _ in 0..3 {
        link.cut();
        review().await;
    }
}
