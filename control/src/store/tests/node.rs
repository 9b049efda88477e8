//! What every store of the fleet's members must do.

use super::super::{CertificateRecord, JoinTokenRecord, NodeRecord, NodeStore};

fn certificate(node: &str, made: i64) -> CertificateRecord {
    CertificateRecord { node: node.to_owned(), made, ends: made + 1_000 }
}

async fn add(store: &dyn NodeStore, hash: &str, node: &str, expires_ms: u64) {
    let token = JoinTokenRecord { hash: hash.to_owned(), node: node.to_owned(), expires_ms };
    store.add_join_token(token, 0).await.unwrap();
}

async fn revoked(store: &dyn NodeStore, name: &str) -> Option<i64> {
    store.member(name.to_owned()).await.unwrap().and_then(|member| member.revoked_until)
}

pub(super) async fn of_many_who_come_with_one_token_one_joins(store: &dyn NodeStore) {
    for round in 0..5 {
        let name = format!("edge-{round}");
        add(store, &name, &name, 10_000).await;
        let attempts = [1, 2, 3, 4].map(|made| store.redeem_join_token(name.clone(), 5, certificate(&name, made)));
        let [a, b, c, d] = attempts;
        let (a, b, c, d) = tokio::join!(a, b, c, d);
        let joined = [a.unwrap(), b.unwrap(), c.unwrap(), d.unwrap()];
        assert_eq!(joined.iter().filter(|joined| **joined).count(), 1, "{joined:?}");
        let made = 1 + i64::try_from(joined.iter().position(|joined| *joined).unwrap()).unwrap();
        let member = store.member(name.clone()).await.unwrap();
        let certificate_ends = Some(made + 1_000);
        let expected = NodeRecord { name: name.clone(), joined_ms: Some(5), certificate_ends, revoked_until: None };
        assert_eq!(member, Some(expected), "and it is the one who is noted");
        assert_eq!(store.join_token(name.clone()).await.unwrap(), None);
    }
    assert!(!store.redeem_join_token("none".to_owned(), 5, certificate("edge-9", 1)).await.unwrap());
    assert_eq!(store.member("edge-9".to_owned()).await.unwrap(), None);
    let names: Vec<String> = store.members().await.unwrap().into_iter().map(|member| member.name).collect();
    assert_eq!(names, ["edge-0", "edge-1", "edge-2", "edge-3", "edge-4"]);
}

pub(super) async fn tokens_are_forgotten_when_they_are_over_or_their_node_is_revoked(store: &dyn NodeStore) {
    let is_there = async |hash: &str| store.join_token(hash.to_owned()).await.unwrap().is_some();
    add(store, "over", "edge-1", 1_000).await;
    add(store, "good", "edge-1", 2_000).await;
    add(store, "other", "edge-2", 2_000).await;
    let token = JoinTokenRecord { hash: "last".to_owned(), node: "edge-1".to_owned(), expires_ms: 9_000 };
    store.add_join_token(token.clone(), 1_000).await.unwrap();
    assert_eq!(store.join_token("last".to_owned()).await.unwrap(), Some(token));
    assert!(!is_there("over").await && is_there("good").await);
    store.revoke_member("edge-1".to_owned(), 7).await.unwrap();
    assert!(!is_there("good").await && !is_there("last").await && is_there("other").await);
    assert_eq!((revoked(store, "edge-1").await, revoked(store, "edge-2").await), (Some(7), None));
    store.revoke_member("a\0b".to_owned(), 7).await.unwrap();
}

/// Whatever clock signed it: what was handed out is refused, and what was not handed out yet is not.
pub(super) async fn a_revocation_holds_against_renewals_under_way(store: &dyn NodeStore) {
    add(store, "token", "edge-1", 10_000).await;
    // Its control is 50 seconds ahead of the one that revokes.
    assert!(store.redeem_join_token("token".to_owned(), 5, certificate("edge-1", 150)).await.unwrap());
    assert!(store.note_renewal(150, certificate("edge-1", 160)).await.unwrap());
    store.revoke_member("edge-1".to_owned(), 110).await.unwrap();
    assert_eq!(revoked(store, "edge-1").await, Some(160));
    assert!(!store.note_renewal(160, certificate("edge-1", 170)).await.unwrap());
    assert!(!store.note_renewal(150, certificate("edge-1", 170)).await.unwrap());
    let member = store.member("edge-1".to_owned()).await.unwrap().unwrap();
    assert_eq!(member.certificate_ends, Some(1_160), "what was refused is not noted");
    store.revoke_member("edge-1".to_owned(), 120).await.unwrap();
    assert_eq!(revoked(store, "edge-1").await, Some(160), "it never goes back");
    // It joins anew, and that one is good.
    add(store, "again", "edge-1", 10_000).await;
    assert!(store.redeem_join_token("again".to_owned(), 6, certificate("edge-1", 161)).await.unwrap());
    assert!(store.note_renewal(161, certificate("edge-1", 170)).await.unwrap());
    assert_eq!(store.revocations().await.unwrap(), [("edge-1".to_owned(), 160)]);
    // One that joined at a control of another store renews here too.
    assert!(store.note_renewal(100, certificate("edge-2", 110)).await.unwrap());
}
