//! Who belongs to the fleet: makes tokens, gives certificates for them, renews those, and refuses what was revoked.
//!
//! A certificate below the link's authority is what proves a node, whichever control gave it; the store says what of that is
//! refused. Called by `service` for nodes and by `admin` for operators.

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_lc_rs::digest;
use penstock_core::limits::JOIN_TOKEN_SECONDS_MAX;
use penstock_core::mint::is_node_name;
use penstock_link::{JOIN_SECRET_BYTES, JoinToken, NodeCertificate as Certified};
use tokio::sync::watch;
use zeroize::Zeroizing;

use super::publisher::{Clock, hex};
use crate::ca::{Asked, CaError, LinkAuthority, NodeCertificate, RotationStep, SignedForNode};
use crate::store::{CertificateRecord, JoinTokenRecord, NodeRecord, NodeStore, StoreError};

/// See the module.
pub(crate) struct Members {
    /// Replaced as a whole when one follows another.
    authority: watch::Sender<Arc<LinkAuthority>>,
    store: Arc<dyn NodeStore>,
    clock: Clock,
    /// Names that were revoked, as last looked up, each with the second until which its certificates are refused.
    revocations: watch::Sender<BTreeMap<String, i64>>,
}

/// A token, as its maker is told of it, this once.
pub(crate) struct MadeToken {
    pub(crate) token: JoinToken,
    /// Unix seconds.
    pub(crate) ends_at: i64,
}

/// Why somebody is no member, or does not become one.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MemberError {
    #[error("a node's name is 1 to 64 letters, digits, `-`, `_` or `.`")]
    Name,
    #[error("a token lives from one second to {JOIN_TOKEN_SECONDS_MAX} seconds")]
    Life,
    #[error("the token is unknown, used or over: have another made with `penstock node token`")]
    Token,
    #[error("the node {0} was revoked: to come back it joins by a new token")]
    Revoked(String),
    #[error("the certificate of the node {0} has ended: to come back it joins by a new token")]
    Ended(String),
    #[error(transparent)]
    Ca(#[from] CaError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("no randomness for a token: {0}")]
    Random(getrandom::Error),
}

impl Members {
    pub(crate) fn new(authority: LinkAuthority, store: Arc<dyn NodeStore>, clock: Clock) -> Self {
        let authority = watch::Sender::new(Arc::new(authority));
        Self { authority, store, clock, revocations: watch::Sender::default() }
    }

    /// By whose signature nodes are known now.
    pub(crate) fn authority(&self) -> Arc<LinkAuthority> {
        Arc::clone(&self.authority.borrow())
    }

    /// Told when that changes.
    pub(super) fn authorities(&self) -> watch::Receiver<Arc<LinkAuthority>> {
        self.authority.subscribe()
    }

    /// Takes the rotation of the link's authority one step further.
    pub(crate) fn rotate(&self, step: RotationStep) -> Result<(), CaError> {
        let rotated = self.authority().rotated(step, (self.clock)())?;
        self.authority.send_replace(Arc::new(rotated));
        Ok(())
    }

    /// Takes what another control's file has been copied over.
    pub(crate) fn reread(&self) -> Result<(), CaError> {
        if let Some(other) = self.authority().reread()? {
            tracing::info!(phase = other.facts().phase, "the link's authority was replaced");
            self.authority.send_replace(Arc::new(other));
        }
        Ok(())
    }

    pub(super) fn now(&self) -> i64 {
        (self.clock)()
    }

    /// Makes a token by which a node may join under `name`, once, in the next `seconds`.
    pub(crate) async fn make_token(&self, name: &str, seconds: u64) -> Result<MadeToken, MemberError> {
        if !is_node_name(name) {
            return Err(MemberError::Name);
        }
        let life = Some(seconds).filter(|seconds| (1..=JOIN_TOKEN_SECONDS_MAX).contains(seconds));
        let life = life.and_then(|seconds| i64::try_from(seconds).ok()).ok_or(MemberError::Life)?;
        let mut secret = Zeroizing::new([0; JOIN_SECRET_BYTES]);
        getrandom::fill(secret.as_mut_slice()).map_err(MemberError::Random)?;
        let (now, hash) = ((self.clock)(), hash(secret.as_slice()));
        let ends_at = now + life;
        let record = JoinTokenRecord { hash, node: name.to_owned(), expires_ms: milliseconds(ends_at) };
        self.store.add_join_token(record, milliseconds(now)).await?;
        Ok(MadeToken { token: JoinToken { secret, pin: self.authority().pin() }, ends_at })
    }

    /// Gives the holder of a token its certificate; answers whose it is too.
    pub(super) async fn join(&self, secret: &[u8], asked: Asked<'_>) -> Result<(String, Certified), MemberError> {
        let (now, hash) = ((self.clock)(), hash(secret));
        let token = self.store.join_token(hash.clone()).await?;
        let token = token.filter(|token| milliseconds(now) < token.expires_ms).ok_or(MemberError::Token)?;
        // A certificate that is good in spite of an earlier revocation is one that was signed after it.
        let member = self.store.member(token.node.clone()).await?;
        let revoked_until = member.and_then(|member| member.revoked_until);
        let made_at = revoked_until.map_or(now, |until| now.max(until.saturating_add(1)));
        let signed = self.authority().certify_node(&token.node, asked, made_at)?;
        if !self.store.redeem_join_token(hash, milliseconds(now), record(&signed.certificate)?).await? {
            return Err(MemberError::Token);
        }
        Ok((token.node, sent(signed)))
    }

    /// Gives a member a fresh certificate under its own name.
    pub(super) async fn renew(&self, member: &NodeCertificate, asked: Asked<'_>) -> Result<Certified, MemberError> {
        let signed = self.authority().certify_node(&member.name, asked, (self.clock)().max(member.made_at))?;
        // Another control may have revoked it since it was admitted.
        if !self.store.note_renewal(member.made_at, record(&signed.certificate)?).await? {
            return Err(MemberError::Revoked(member.name.clone()));
        }
        Ok(sent(signed))
    }

    /// Whether who shows this certificate may speak now.
    pub(super) async fn admit(&self, shown: &NodeCertificate) -> Result<(), MemberError> {
        let member = self.store.member(shown.name.clone()).await?;
        self.judge(shown, member.and_then(|member| member.revoked_until))
    }

    /// The same as far as is known here, of one that was admitted before: also while the store is away.
    pub(super) fn admits_still(&self, shown: &NodeCertificate) -> Result<(), MemberError> {
        let revoked_until = self.revocations.borrow().get(&shown.name).copied();
        self.judge(shown, revoked_until)
    }

    fn judge(&self, shown: &NodeCertificate, revoked_until: Option<i64>) -> Result<(), MemberError> {
        let NodeCertificate { name, made_at, ends_at } = shown;
        if (self.clock)() > *ends_at {
            return Err(MemberError::Ended(name.clone()));
        }
        match revoked_until {
            Some(until) if *made_at <= until => Err(MemberError::Revoked(name.clone())),
            _ => Ok(()),
        }
    }

    /// Refuses every certificate that was signed for the name until now, and its tokens.
    pub(crate) async fn revoke(&self, name: &str) -> Result<(), MemberError> {
        self.store.revoke_member(name.to_owned(), (self.clock)()).await?;
        // It is done; a look that fails is taken again in a moment.
        drop(self.look().await);
        Ok(())
    }

    /// Looks who was revoked meanwhile, here or by another control.
    pub(crate) async fn look(&self) -> Result<(), StoreError> {
        let revoked: BTreeMap<String, i64> = self.store.revocations().await?.into_iter().collect();
        self.revocations.send_if_modified(|known| {
            let is_new = *known != revoked;
            *known = revoked;
            is_new
        });
        Ok(())
    }

    /// Told when somebody was revoked.
    pub(super) fn revocations(&self) -> watch::Receiver<BTreeMap<String, i64>> {
        self.revocations.subscribe()
    }

    /// Every node that joined or was revoked, here or at a control with the same store.
    pub(crate) async fn list(&self) -> Result<Vec<NodeRecord>, StoreError> {
        self.store.members().await
    }
}

/// As it goes to the node.
fn sent(signed: SignedForNode) -> Certified {
    let SignedForNode { certificate, authority, also } = signed;
    Certified { certificate, authority, also }
}

/// What the store keeps of a certificate.
fn record(certificate: &[u8]) -> Result<CertificateRecord, MemberError> {
    let read = LinkAuthority::read_node(certificate);
    read.map(|NodeCertificate { name, made_at, ends_at }| CertificateRecord {
        node: name,
        made: made_at,
        ends: ends_at,
    })
    .ok_or(MemberError::Name)
}

/// What the store keeps of a secret. It has 256 bits, so no salt and no slow hash are needed.
fn hash(secret: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, secret).as_ref())
}

fn milliseconds(seconds: i64) -> u64 {
    u64::try_from(seconds).unwrap_or(0).saturating_mul(1_000)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use aws_lc_rs::encoding::AsDer as _;
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
    use penstock_core::limits::NODE_CERTIFICATE_LIFE_SECONDS;
    use penstock_core::mint::{SignError, Signer, encode_node_request};
    use tempfile::TempDir;

    use super::*;
    use crate::store::{Retention, SqliteStore};

    const START: i64 = 1_795_305_600;

    struct Key(EcdsaKeyPair);

    impl Signer for Key {
        fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
            Ok(self.0.sign(&SystemRandom::new(), message).map_err(|_| SignError)?.as_ref().to_vec())
        }
    }

    fn asked(pkcs10: &[u8]) -> Asked<'_> {
        Asked { pkcs10, several: true }
    }

    fn request() -> Vec<u8> {
        let key = Key(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap());
        let public = key.0.public_key().as_der().unwrap().as_ref().to_vec();
        encode_node_request(&public, &key).unwrap()
    }

    fn members(state: &TempDir, clock: Clock) -> Members {
        let retention = Retention { events_max: 1_000, age_ms_max: None, bytes_max: None };
        let store = SqliteStore::open(&state.path().join("control.db"), retention, || 0).unwrap();
        Members::new(LinkAuthority::open_or_create(state.path(), clock()).unwrap(), Arc::new(store), clock)
    }

    fn read(certified: &Certified) -> NodeCertificate {
        LinkAuthority::read_node(&certified.certificate).unwrap()
    }

    #[tokio::test]
    async fn a_token_is_good_once_for_its_name_and_until_its_end() {
        static NOW: AtomicI64 = AtomicI64::new(START);
        let state = TempDir::new().unwrap();
        let members = members(&state, || NOW.load(Ordering::Relaxed));
        for (name, seconds) in [("", 60), ("a b", 60), ("edge-1", 0), ("edge-1", JOIN_TOKEN_SECONDS_MAX + 1)] {
            assert!(members.make_token(name, seconds).await.is_err(), "{name:?} {seconds}");
        }
        let made = members.make_token("edge-1", 60).await.unwrap();
        assert_eq!(made.token.pin, members.authority().pin());
        let database = std::fs::read(state.path().join("control.db-wal")).unwrap();
        let secret = hex(made.token.secret.as_slice());
        for kept in [made.token.secret.as_slice(), secret.as_bytes()] {
            assert!(!database.windows(kept.len()).any(|window| window == kept), "the secret itself is not kept");
        }
        // What is no request costs the token nothing; what is not signed by its key neither.
        let mut forged = request();
        *forged.last_mut().unwrap() ^= 1;
        for wrong in [&[][..], &forged] {
            let refused = members.join(made.token.secret.as_slice(), asked(wrong)).await;
            assert!(matches!(refused, Err(MemberError::Ca(CaError::Request))));
        }
        let (name, certified) = members.join(made.token.secret.as_slice(), asked(&request())).await.unwrap();
        assert_eq!(name, "edge-1");
        let (shown, ends_at) = (read(&certified), START + NODE_CERTIFICATE_LIFE_SECONDS);
        assert_eq!(shown, NodeCertificate { name, made_at: START, ends_at });
        members.admit(&shown).await.unwrap();
        assert!(
            matches!(members.join(made.token.secret.as_slice(), asked(&request())).await, Err(MemberError::Token)),
            "used"
        );

        let late = members.make_token("edge-2", 60).await.unwrap();
        NOW.store(START + 60, Ordering::Relaxed);
        assert!(
            matches!(members.join(late.token.secret.as_slice(), asked(&request())).await, Err(MemberError::Token)),
            "over"
        );
        assert!(matches!(members.join(&[0; 32], asked(&request())).await, Err(MemberError::Token)), "unknown");
        NOW.store(ends_at + 1, Ordering::Relaxed);
        assert!(matches!(members.admit(&shown).await, Err(MemberError::Ended(_))));
    }

    #[tokio::test]
    async fn of_two_who_come_with_one_token_one_gets_a_certificate() {
        let state = TempDir::new().unwrap();
        let members = members(&state, || START);
        let made = members.make_token("edge-1", 60).await.unwrap();
        let (first, second) = (request(), request());
        let secret = made.token.secret.as_slice();
        let (first, second) = tokio::join!(members.join(secret, asked(&first)), members.join(secret, asked(&second)));
        assert_eq!(usize::from(first.is_ok()) + usize::from(second.is_ok()), 1);
    }

    /// Also what was renewed, in the very second of the revocation; and what was signed after it is good.
    #[tokio::test]
    async fn what_was_signed_before_a_revocation_is_refused_and_what_came_after_is_not() {
        let state = TempDir::new().unwrap();
        let members = members(&state, || START);
        let made = members.make_token("edge-1", 60).await.unwrap();
        let (_, first) = members.join(made.token.secret.as_slice(), asked(&request())).await.unwrap();
        let renewed = members.renew(&read(&first), asked(&request())).await.unwrap();
        assert_eq!(read(&renewed).name, "edge-1");
        let waiting = members.make_token("edge-1", 60).await.unwrap();
        members.revoke("edge-1").await.unwrap();
        for shown in [&first, &renewed] {
            assert!(matches!(members.admit(&read(shown)).await, Err(MemberError::Revoked(_))));
        }
        assert!(matches!(
            members.join(waiting.token.secret.as_slice(), asked(&request())).await,
            Err(MemberError::Token)
        ));
        let again = members.make_token("edge-1", 60).await.unwrap();
        let (_, back) = members.join(again.token.secret.as_slice(), asked(&request())).await.unwrap();
        members.admit(&read(&back)).await.unwrap();
        assert!(members.admit(&read(&first)).await.is_err(), "the old one stays refused");
        let listed = members.list().await.unwrap();
        assert_eq!((listed.len(), listed[0].revoked_until), (1, Some(START)));
    }

    #[tokio::test]
    async fn the_authority_stays_and_its_file_is_its_owners_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let state = TempDir::new().unwrap();
        let first = LinkAuthority::open_or_create(state.path(), START).unwrap();
        let again = LinkAuthority::open_or_create(state.path(), START + 1).unwrap();
        assert_eq!((first.pin(), first.certificates()), (again.pin(), again.certificates()));
        let file = state.path().join("link-authority.pem");
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(LinkAuthority::open_or_create(state.path(), START), Err(CaError::LooseMode { .. })));
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::write(&file, "damaged").unwrap();
        assert!(matches!(LinkAuthority::open_or_create(state.path(), START), Err(CaError::Malformed { .. })));
    }
}
