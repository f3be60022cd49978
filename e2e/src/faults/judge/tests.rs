use super::*;
use serde_json::json;

fn ended(number: u64, order: u64, results: u64) -> Ended {
    let builder = "linux".to_owned();
    Ended { database: 0, id: number, builder, number, results, complete_at: 100, order }
}

fn mail(number: u64, answered: bool) -> Taken {
    let text = format!("{number}|90|linux|why [database 0]");
    Taken { content: Content::Mail { id: format!("<{number}>"), text }, answered }
}

fn push(ids: &[(u64, u64)], answered: bool) -> Taken {
    let packets = ids.iter().map(|(id, number)| {
        json!({"id": id, "started": "today", "event": "buildFinished", "payload": {"build": {
            "number": number, "builderName": "linux", "reason": "why [database 0]", "times": [90, 100],
        }}})
    });
    Taken { content: Content::Packets(packets.collect()), answered }
}

fn asked(order: u64, what: Question) -> Asked {
    Asked { database: 0, order, what }
}

fn evidence() -> Evidence {
    Evidence {
        ended: vec![ended(1, 0, 0), ended(2, 10, 0), ended(3, 20, 5)],
        asked: vec![
            asked(1, Question::Highest),
            asked(2, Question::Open),
            asked(3, Question::Past),
        ],
        mails: vec![mail(2, true)],
        pushes: vec![push(&[(1, 2)], true), push(&[(2, 3)], true)],
        ..Evidence::default()
    }
}

#[test]
fn what_came_once_is_neither_lost_nor_repeated() {
    let verdict = judge(&evidence());
    assert_eq!(verdict, Verdict { due: 3, ..Verdict::default() });
}

#[test]
fn what_never_came_or_was_never_answered_is_lost() {
    let without = Evidence { mails: Vec::new(), ..evidence() };
    assert_eq!(judge(&without).lost.len(), 1);
    let unanswered = Evidence { mails: vec![mail(2, false)], ..evidence() };
    assert_eq!(judge(&unanswered).lost.len(), 1);
    let hole = Evidence { pushes: vec![push(&[(2, 3)], true)], ..evidence() };
    let verdict = judge(&hole);
    assert_eq!((verdict.lost.len(), verdict.problems.len()), (1, 1), "{verdict:?}");
}

#[test]
fn a_repeat_counts_after_an_answer_only_and_a_request_once() {
    let mails = vec![mail(2, false), mail(2, true), mail(2, true)];
    let pushes = vec![push(&[(1, 2), (2, 3)], true), push(&[(1, 2)], true), push(&[(2, 3)], true)];
    let verdict = judge(&Evidence { mails, pushes, ..evidence() });
    assert_eq!(
        (verdict.repeated, verdict.unclear, verdict.problems.len()),
        (2, 1, 0),
        "{verdict:?}"
    );
}

#[test]
fn mail_about_the_past_or_of_another_identity_is_wrong() {
    let past = Evidence { mails: vec![mail(1, true), mail(2, true)], ..evidence() };
    assert_eq!(judge(&past).problems.len(), 1);
    let mut other = mail(2, true);
    if let Content::Mail { id, .. } = &mut other.content {
        *id = "<another>".to_owned();
    }
    let twice = Evidence { mails: vec![mail(2, true), other], ..evidence() };
    assert_eq!(judge(&twice).problems.len(), 1);
}

#[test]
fn a_journal_begins_anew_only_for_a_reason() {
    let mut anew = Evidence { mails: Vec::new(), pushes: Vec::new(), ..evidence() };
    anew.asked.extend([
        asked(30, Question::Highest),
        asked(31, Question::Open),
        asked(32, Question::Past),
    ]);
    let verdict = judge(&anew);
    assert_eq!((verdict.lost.len(), verdict.problems.len()), (3, 1), "{verdict:?}");
    let verdict = judge(&Evidence { losses: vec![25], ..anew });
    assert_eq!(
        (verdict.lost.len(), verdict.problems.len(), verdict.excused),
        (0, 0, 3),
        "{verdict:?}"
    );
}

#[test]
fn a_dead_letter_takes_one_delivery_out_after_a_torn_page_only() {
    let none = Evidence { mails: Vec::new(), dead: [1, 0], ..evidence() };
    let verdict = judge(&none);
    assert_eq!((verdict.lost.len(), verdict.problems.len()), (1, 1));
    let verdict = judge(&Evidence { torn: true, ..none });
    assert_eq!((verdict.lost.len(), verdict.problems.len(), verdict.excused), (0, 0, 1));
}

#[test]
fn packets_out_of_order_are_wrong() {
    let pushes = vec![push(&[(2, 3)], true), push(&[(1, 2)], true)];
    assert_eq!(judge(&Evidence { pushes, ..evidence() }).problems.len(), 1);
}
