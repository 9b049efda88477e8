//! A data plane without shards' threads: the link, the audit and mailboxes that the test empties itself.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use penstock_core::audit::Event;
use penstock_core::mint::{
    AuthorityRequest, CertificateFacts, PermittedNames, SignError, Signer, Validity, encode_issuer, encode_root,
};
use penstock_link::{Issuer, State};
use tempfile::TempDir;

use super::control::soon;
use crate::audit::{self, AuditRing, AuditWriter};
use crate::config;
use crate::link::{Background, Link, Settings, start};
use crate::metrics::{ProcessCells, ShardCells};
use crate::shard::mailbox::{InstallAck, Installed, Mailbox, MailboxReceiver, Message};
use crate::signer;
use crate::tls::TicketKeyring;

/// Where a node keeps its state; outlives the node.
pub(super) struct Place {
    directory: TempDir,
}

/// A running node.
pub(super) struct Node {
    background: Background,
    link: Link,
    writer: AuditWriter,
    pub(super) rings: Vec<AuditRing>,
    pub(super) mailboxes: Vec<MailboxReceiver>,
    pub(super) shards: Vec<Arc<ShardCells>>,
    pub(super) cells: Arc<ProcessCells>,
    pub(super) tickets: Arc<TicketKeyring>,
}

impl Place {
    pub(super) fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.directory.path().join("link.sock")
    }

    pub(super) fn state(&self) -> PathBuf {
        self.directory.path().join("state")
    }

    pub(super) fn kept(&self) -> PathBuf {
        self.state().join("last-known-good/state")
    }

    /// Starts a node here.
    pub(super) fn node(&self, shards: usize) -> Node {
        let background = Background::start().unwrap();
        let (senders, mailboxes) = (0..shards).map(|_| Mailbox::channel()).unzip();
        let shards: Vec<_> = (0..shards).map(|_| Arc::new(ShardCells::new())).collect();
        let cells = Arc::new(ProcessCells::new());
        let (rings, writer, spool) = audit::start(&self.state(), "gate-1", &shards, Arc::clone(&cells)).unwrap();
        let tickets = Arc::new(TicketKeyring::new());
        let place = signer::Place::Thread { state_directory: self.state() };
        let signer = signer::start(background.handle(), place, Arc::clone(&cells));
        let settings = Settings {
            node: "gate-1".to_owned(),
            labels: vec!["canary".to_owned()],
            link: config::Link::Socket(self.socket()),
            state_directory: self.state(),
            proxy: "127.0.0.1:8080".parse().unwrap(),
            mailboxes: senders,
            shards: shards.clone(),
            cells: Arc::clone(&cells),
            spool,
            tickets: Arc::clone(&tickets),
            signer,
        };
        let link = start(background.handle(), settings);
        Node { background, link, writer, rings, mailboxes, shards, cells, tickets }
    }
}

impl Node {
    /// What a shard is told next, and its acknowledgement to give.
    pub(super) async fn told(&self, shard: usize) -> (Arc<Installed>, InstallAck) {
        match soon(self.mailboxes[shard].receive()).await {
            Some(Message::Install(installed, ack)) => (installed, ack),
            _ => panic!("nothing to install"),
        }
    }

    /// Lets every shard take what it is told; the epoch that all were told.
    pub(super) async fn take(&self) -> u64 {
        let mut epochs = Vec::new();
        for shard in 0..self.mailboxes.len() {
            let (installed, ack) = self.told(shard).await;
            epochs.push(installed.snapshot.epoch().unwrap());
            ack.installed();
        }
        assert!(epochs.windows(2).all(|pair| pair[0] == pair[1]));
        epochs[0]
    }

    pub(super) fn record(&self, flow: u64) {
        self.rings[0].record(Event { flow: flow.to_string(), ..Event::default() });
    }

    /// Ends the node: the link at once, whatever it is doing; the audit writer when the rings are empty.
    pub(super) fn kill(self) {
        self.link.stop();
        self.background.stop();
        self.writer.stop();
    }
}

pub(super) const POLICY: &str = r#"
[[restriction]]
name = "entra"
connector = "microsoft-entra"
permitted_tenants = ["contoso.com"]
context_tenant = "bbbbcccc-1111-dddd-2222-eeee3333ffff"

[[profile]]
name = "staff"
mode = "enforce"
restrictions = ["entra"]

[[assignment]]
profile = "staff"
sources = ["127.0.0.0/8"]
"#;

/// A state with an issuer that fits [`POLICY`].
pub(super) fn state(epoch: u64) -> State {
    State { epoch, policy: POLICY.to_owned(), issuer: Some(issuer(now(), 30)) }
}

/// An issuer for the hosts of [`POLICY`], from `start` for `days`.
pub(super) fn issuer(start: i64, days: i64) -> Issuer {
    let snapshot = penstock_core::policy::compile("policy", POLICY, None, 0).unwrap();
    let hosts: Vec<&str> = snapshot.minted_hosts().collect();
    issuer_for(&hosts, start, days)
}

pub(super) fn issuer_for(hosts: &[&str], start: i64, days: i64) -> Issuer {
    let (root_key, issuer_key) = (Key::new(), Key::new());
    let mut serial = [0_u8; 16];
    getrandom::fill(&mut serial).unwrap();
    serial[0] = 0x11;
    let period = Validity { not_before: start, not_after: start + days * 86_400 };
    let (root_public, issuer_public) = (root_key.public(), issuer_key.public());
    let root_period = Validity { not_before: start - 1, not_after: start + 3_650 * 86_400 };
    let request = |common_name, public_key, validity| AuthorityRequest { common_name, public_key, serial, validity };
    let root = encode_root(&request("root", &root_public, root_period), &root_key).unwrap();
    let facts = CertificateFacts::parse(&root).unwrap();
    let permitted = PermittedNames::from_patterns(hosts.iter().copied()).unwrap();
    let issuer = encode_issuer(&request("issuer", &issuer_public, period), &facts, &permitted, &root_key).unwrap();
    Issuer {
        serial: format!("{:032x}", u128::from_be_bytes(serial)),
        chain: vec![issuer, root],
        key: issuer_key.0.to_pkcs8v1().unwrap().as_ref().to_vec(),
        not_before: period.not_before,
        not_after: period.not_after,
        sealed_key: Vec::new(),
    }
}

pub(super) fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap()
}

struct Key(EcdsaKeyPair);

impl Key {
    fn new() -> Self {
        Self(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap())
    }

    fn public(&self) -> Vec<u8> {
        self.0.public_key().as_der().unwrap().as_ref().to_vec()
    }
}

impl Signer for Key {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        Ok(self.0.sign(&SystemRandom::new(), message).map_err(|_| SignError)?.as_ref().to_vec())
    }
}
