//! What every store of users, sessions, tokens and the trail must do.

use super::super::{
    AccessStore, SessionRecord, StoreError, TokenRecord, TrailEntry, TrailQuery, TrailStore, UserChange, UserOutcome,
    UserRecord,
};

pub(super) fn user(name: &str, role: &str) -> UserRecord {
    let (name, role) = (name.to_owned(), role.to_owned());
    UserRecord { name, role, password_hash: "$argon2id$".to_owned(), created_ms: 1_795_000_000_000, signed_in_ms: None }
}

fn session(hash: &str, user: &str, used_ms: u64) -> SessionRecord {
    SessionRecord { hash: hash.to_owned(), user: user.to_owned(), opened_ms: used_ms, used_ms }
}

fn token(id: &str, owner: Option<&str>, created_ms: u64) -> TokenRecord {
    TokenRecord {
        id: id.to_owned(),
        hash: format!("hash of {id}"),
        comment: "why \"this\"".to_owned(),
        role: "viewer".to_owned(),
        owner: owner.map(str::to_owned),
        created_ms,
        expires_ms: created_ms + 1_000,
        used_ms: None,
    }
}

fn role(role: &str) -> UserChange {
    UserChange { role: Some(role.to_owned()), password_hash: None }
}

pub(super) async fn of_many_who_make_the_first_user_one_does(store: &dyn AccessStore) {
    let attempts = ["a", "b", "c", "d"].map(|name| store.add_first_user(user(name, "admin")));
    let [a, b, c, d] = attempts;
    let outcomes: [Result<UserOutcome, StoreError>; 4] = tokio::join!(a, b, c, d).into();
    let made = outcomes.iter().filter(|outcome| matches!(outcome, Ok(UserOutcome::Done))).count();
    let late = outcomes.iter().filter(|outcome| matches!(outcome, Ok(UserOutcome::Taken))).count();
    assert_eq!((made, late, store.users().await.unwrap().len()), (1, 3, 1), "{outcomes:?}");
    assert_eq!(store.add_first_user(user("e", "admin")).await.unwrap(), UserOutcome::Taken);
}

pub(super) async fn users_come_change_and_go_and_one_admin_stays(store: &dyn AccessStore) {
    for (name, role) in [("Zoe", "admin"), ("anna", "viewer"), ("Bob", "admin")] {
        assert_eq!(store.add_user(user(name, role)).await.unwrap(), UserOutcome::Done);
    }
    assert_eq!(store.add_user(user("anna", "admin")).await.unwrap(), UserOutcome::Taken);
    let names: Vec<String> = store.users().await.unwrap().into_iter().map(|user| user.name).collect();
    assert_eq!(names, ["Bob", "Zoe", "anna"], "by bytes");
    assert_eq!(store.user("anna".to_owned()).await.unwrap(), Some(user("anna", "viewer")));
    for nobody in ["Anna", "", "a\0b", "'; DROP TABLE access_user; --"] {
        assert_eq!(store.user(nobody.to_owned()).await.unwrap(), None);
        assert_eq!(store.remove_user(nobody.to_owned()).await.unwrap(), UserOutcome::Absent);
        assert_eq!(store.change_user(nobody.to_owned(), role("admin")).await.unwrap(), UserOutcome::Absent);
    }
    // Of two admins who take the office from each other at once, one keeps it.
    let (a, b) = tokio::join!(store.change_user("Bob".to_owned(), role("viewer")), store.remove_user("Zoe".to_owned()));
    let outcomes = [a.unwrap(), b.unwrap()];
    assert!(outcomes.contains(&UserOutcome::Done) && outcomes.contains(&UserOutcome::LastAdmin), "{outcomes:?}");
    let last = if outcomes[0] == UserOutcome::Done { "Zoe" } else { "Bob" };
    assert_eq!(store.change_user(last.to_owned(), role("auditor")).await.unwrap(), UserOutcome::LastAdmin);
    assert_eq!(store.remove_user(last.to_owned()).await.unwrap(), UserOutcome::LastAdmin);
    assert_eq!(store.change_user(last.to_owned(), role("admin")).await.unwrap(), UserOutcome::Done);
    assert_eq!(store.change_user("anna".to_owned(), role("admin")).await.unwrap(), UserOutcome::Done);
    assert_eq!(store.remove_user(last.to_owned()).await.unwrap(), UserOutcome::Done);
}

pub(super) async fn a_session_lives_with_its_user_and_until_a_new_password(store: &dyn AccessStore) {
    for name in ["anna", "bob"] {
        store.add_user(user(name, "admin")).await.unwrap();
    }
    for (hash, name, used_ms) in [("1", "anna", 1_000), ("2", "anna", 5_000), ("3", "bob", 5_000)] {
        store.open_session(session(hash, name, used_ms), 0).await.unwrap();
    }
    let found = async |hash: &str| store.session(hash.to_owned()).await.unwrap();
    let (opened, of) = found("2").await.unwrap();
    assert_eq!((opened, of.name.as_str(), of.signed_in_ms), (session("2", "anna", 5_000), "anna", Some(5_000)));
    assert_eq!(found("none").await, None);
    store.touch_session("2".to_owned(), 7_000).await.unwrap();
    assert_eq!(found("2").await.unwrap().0, SessionRecord { used_ms: 7_000, ..session("2", "anna", 5_000) });
    // What was not used for long is forgotten with the next one.
    store.open_session(session("4", "bob", 8_000), 6_000).await.unwrap();
    assert_eq!((found("1").await, found("3").await), (None, None));
    let change = UserChange { role: None, password_hash: Some("$other$".to_owned()) };
    assert_eq!(store.change_user("anna".to_owned(), change).await.unwrap(), UserOutcome::Done);
    assert_eq!(found("2").await, None);
    assert_eq!(store.user("anna".to_owned()).await.unwrap().unwrap().password_hash, "$other$");
    assert!(found("4").await.is_some(), "another's session");
    store.close_session("4".to_owned()).await.unwrap();
    assert_eq!(found("4").await, None);
    store.open_session(session("5", "bob", 9_000), 0).await.unwrap();
    assert_eq!(store.remove_user("bob".to_owned()).await.unwrap(), UserOutcome::Done);
    assert_eq!(found("5").await, None);
    assert!(store.open_session(session("6", "bob", 9_000), 0).await.is_err(), "of nobody");
}

pub(super) async fn a_token_is_found_by_its_hash_until_it_is_revoked(store: &dyn AccessStore) {
    for name in ["anna", "bob"] {
        store.add_user(user(name, "admin")).await.unwrap();
    }
    for (id, owner, created_ms) in [("b", Some("anna"), 1_000), ("c", None, 2_000), ("a", Some("bob"), 2_000)] {
        store.add_token(token(id, owner, created_ms)).await.unwrap();
    }
    let listed = store.tokens().await.unwrap();
    assert_eq!(listed, [token("a", Some("bob"), 2_000), token("c", None, 2_000), token("b", Some("anna"), 1_000)]);
    let found = async |id: &str| store.token(format!("hash of {id}")).await.unwrap();
    store.touch_token("c".to_owned(), 3_000).await.unwrap();
    assert_eq!(found("c").await, Some(TokenRecord { used_ms: Some(3_000), ..token("c", None, 2_000) }));
    // Of two who revoke it at once, one is told that it was there.
    let (a, b) = tokio::join!(store.remove_token("c".to_owned()), store.remove_token("c".to_owned()));
    assert!(a.unwrap() != b.unwrap());
    assert_eq!(found("c").await, None);
    assert!(!store.remove_token("a\0".to_owned()).await.unwrap());
    store.remove_user("bob".to_owned()).await.unwrap();
    assert_eq!(found("a").await, None, "it goes with its owner");
    assert!(found("b").await.is_some());
}

pub(super) async fn the_trail_is_read_backwards_and_filtered(store: &dyn TrailStore) {
    let entry = |number: u64| TrailEntry {
        id: 0,
        time: format!("2026-11-22T16:{:02}:00.000Z", number),
        who: ["anna", "token:1"][usize::try_from(number % 2).unwrap()].to_owned(),
        role: (!number.is_multiple_of(3)).then(|| "admin".to_owned()),
        address: "192.0.2.1".to_owned(),
        act: ["sign_in", "change_policy", "manage_nodes"][usize::try_from(number % 3).unwrap()].to_owned(),
        subject: format!("entry {number}"),
        outcome: "done".to_owned(),
    };
    let subjects = async |query: TrailQuery| {
        let entries = store.trail(query).await.unwrap();
        entries.into_iter().map(|entry| (entry.id, entry.subject)).collect::<Vec<_>>()
    };
    let numbers: Vec<u64> = (0..30).collect();
    for number in &numbers {
        store.add(entry(*number)).await.unwrap();
    }
    let all = store.trail(TrailQuery { count_max: 100, ..TrailQuery::default() }).await.unwrap();
    let expected: Vec<TrailEntry> = numbers.iter().rev().map(|number| entry(*number)).collect();
    assert_eq!(all.iter().map(|found| TrailEntry { id: 0, ..found.clone() }).collect::<Vec<_>>(), expected);
    assert!(all.windows(2).all(|pair| pair[0].id > pair[1].id && pair[1].id > 0));
    let mut paged = Vec::new();
    let mut before = None;
    while paged.len() < 30 {
        let page = subjects(TrailQuery { before, count_max: 7, ..TrailQuery::default() }).await;
        before = page.last().map(|(id, _)| *id);
        assert!(before.is_some(), "{} entries", paged.len());
        paged.extend(page);
    }
    assert_eq!(paged, all.iter().map(|found| (found.id, found.subject.clone())).collect::<Vec<_>>());
    let (who, act) = (Some("anna".to_owned()), Some("sign_in".to_owned()));
    let both = subjects(TrailQuery { who, act, count_max: 100, ..TrailQuery::default() }).await;
    let both: Vec<&str> = both.iter().map(|(_, subject)| subject.as_str()).collect();
    assert_eq!(both, ["entry 24", "entry 18", "entry 12", "entry 6", "entry 0"]);
    // Whatever somebody tries to sign in as is no reason to lose the entry.
    store.add(TrailEntry { who: "a\0b".to_owned(), subject: "'; --\u{202e}".to_owned(), ..entry(1) }).await.unwrap();
    let newest = subjects(TrailQuery { count_max: 1, ..TrailQuery::default() }).await;
    assert_eq!(newest[0].1, "'; --\u{202e}");
    for nobody in ["bob", "b\0"] {
        let who = Some(nobody.to_owned());
        assert_eq!(subjects(TrailQuery { who, count_max: 9, ..TrailQuery::default() }).await, []);
    }
}
