//! Ticket keys through their life: shared by shards and nodes, renewed without a lost resumption, over in time.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use penstock_core::limits::{TICKET_KEY_SECONDS, TICKET_KEYS_MAX, TICKET_LIFE_SECONDS};
use rustls::ClientConfig;
use rustls::version::{TLS12, TLS13};

use super::bed::{Bed, HOST, RUSTLS, Shard, downstream, issuer, issuer_parts, now, sni};
use super::sessions::{OTHER, connect, resuming, roots};
use crate::tls::chain::Voucher;
use crate::tls::{Issuer, Leaf, TicketKey, TicketKeyring, TlsShared};

/// A clock that the test sets.
#[derive(Clone)]
struct Hands(Arc<AtomicI64>);

impl Hands {
    fn new() -> Self {
        Self(Arc::new(AtomicI64::new(now())))
    }

    fn now(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }

    fn pass(&self, seconds: i64) {
        self.0.fetch_add(seconds, Ordering::Relaxed);
    }
}

/// One data plane: what its shards share, one shard, and its leaf for the host.
struct Node {
    shared: Arc<TlsShared>,
    shard: Shard,
    leaf: Arc<Leaf>,
}

/// Nodes with one issuer from the same link, each with a leaf key of its own.
fn nodes<const COUNT: usize>(bed: &mut Bed, hands: &Hands) -> [Node; COUNT] {
    let (chain, _, period) = issuer_parts(now(), &["*.saas.example"]);
    bed.root = rustls_pki_types::CertificateDer::from(chain[1].clone());
    std::array::from_fn(|_| {
        let hands = hands.clone();
        let tickets = TicketKeyring::with_clock(move || hands.now());
        let shared = Arc::new(TlsShared::with_tickets(bed.ca.roots(Voucher::System), tickets).expect("shared"));
        let mut shard = Shard::new(&shared, RUSTLS);
        let issuer = Issuer::from_parts(&chain, period.not_before, period.not_after).expect("issuer");
        shard.install_issuer(Arc::new(issuer), 1);
        let (leaf, _) = bed.leaf(&mut shard, HOST);
        Node { shared, shard, leaf }
    })
}

impl Node {
    fn resumes(&self, client: &Arc<ClientConfig>) -> bool {
        connect(&self.shard, &self.leaf, client, HOST)
    }
}

fn client_of(bed: &Bed) -> Arc<ClientConfig> {
    resuming(ClientConfig::builder().with_root_certificates(roots(bed)).with_no_client_auth())
}

fn key(number: u8, from: i64) -> TicketKey {
    TicketKey::new(&[number; 16], &[number ^ 0x5a; 32], from, from + TICKET_KEY_SECONDS).expect("key")
}

/// Without the fleet's keys a ticket is its own node's; with them it is good at any.
#[test]
fn nodes_resume_each_others_sessions_under_the_fleets_key() {
    let (mut bed, hands) = (Bed::new(), Hands::new());
    let [first, second] = nodes(&mut bed, &hands);
    for version in [&TLS12, &TLS13] {
        let config = ClientConfig::builder_with_protocol_versions(&[version]);
        let client = resuming(config.with_root_certificates(roots(&bed)).with_no_client_auth());
        assert!(!first.resumes(&client));
        assert!(!second.resumes(&client), "each seals with a key of its own");
    }
    for node in [&first, &second] {
        node.shared.tickets().install(vec![key(1, hands.now())]);
    }
    for version in [&TLS12, &TLS13] {
        let config = ClientConfig::builder_with_protocol_versions(&[version]);
        let client = resuming(config.with_root_certificates(roots(&bed)).with_no_client_auth());
        assert!(!first.resumes(&client));
        assert!(second.resumes(&client), "{version:?}");
        assert!(first.resumes(&client), "{version:?}");
    }
}

/// Three days of handshakes, alternating between two nodes that hear of keys at different times: every one but the first
/// resumes.
#[test]
fn renewing_the_keys_loses_no_resumption() {
    const STEP: i64 = 1_800;
    let (mut bed, hands) = (Bed::new(), Hands::new());
    let [first, second] = nodes(&mut bed, &hands);
    let client = client_of(&bed);
    let start = hands.now();
    let mut is_resumed = Vec::new();
    for step in 0..3 * 86_400 / STEP {
        // As control sends them: the key before, the one now, the next one. The second node hears of it a step later.
        let sent_at = |at: i64| {
            let slot = (at - start).div_euclid(TICKET_KEY_SECONDS);
            (slot.max(1) - 1..=slot + 1)
                .map(|slot| key(u8::try_from(slot).expect("a slot"), start + slot * TICKET_KEY_SECONDS))
                .collect::<Vec<_>>()
        };
        first.shared.tickets().install(sent_at(hands.now()));
        second.shared.tickets().install(sent_at((hands.now() - STEP).max(start)));
        for node in [&first, &second] {
            node.shared.tickets().tend();
        }
        let node = if step % 2 == 0 { &first } else { &second };
        is_resumed.push(node.resumes(&client));
        hands.pass(STEP);
    }
    assert_eq!(is_resumed.iter().filter(|resumed| !**resumed).count(), 1, "the first alone: {is_resumed:?}");
    assert!(!is_resumed[0]);
}

/// Control is away: the last of its keys runs out, the node goes on with its own, and still opens what went before.
#[test]
fn a_node_alone_renews_its_own_keys() {
    let (mut bed, hands) = (Bed::new(), Hands::new());
    let [node] = nodes(&mut bed, &hands);
    node.shared.tickets().install(vec![key(1, hands.now())]);
    let client = client_of(&bed);
    assert!(!node.resumes(&client));
    for _ in 0..100 {
        hands.pass(3_600);
        node.shared.tickets().tend();
        assert!(node.resumes(&client));
    }
}

/// A ticket whose key is over gives a full handshake, which works; so does one that was bent, and one of no key.
#[test]
fn a_key_that_is_over_gives_a_full_handshake() {
    let (mut bed, hands) = (Bed::new(), Hands::new());
    let [node] = nodes(&mut bed, &hands);
    let client = client_of(&bed);
    let tickets = node.shared.tickets();
    tickets.install(vec![key(1, hands.now())]);
    assert!(!node.resumes(&client));
    hands.pass(TICKET_KEY_SECONDS + TICKET_LIFE_SECONDS - 1);
    tickets.tend();
    assert!(node.resumes(&client), "the last second of the key");
    tickets.install(vec![key(2, hands.now())]);
    assert!(node.resumes(&client), "what the node sealed alone");
    hands.pass(TICKET_KEY_SECONDS + TICKET_LIFE_SECONDS);
    tickets.tend();
    assert!(!node.resumes(&client));
    assert!(node.resumes(&client));

    let sealing = tickets.bound(b"issuer", 1, &sni(HOST));
    let ticket = sealing.encrypt(b"session").expect("a ticket");
    assert_eq!(sealing.decrypt(&ticket).as_deref(), Some(&b"session"[..]));
    assert_ne!(sealing.encrypt(b"session").expect("a ticket"), ticket);
    for at in 0..ticket.len() {
        let mut bent = ticket.clone();
        bent[at] ^= 1;
        assert_eq!(sealing.decrypt(&bent), None, "byte {at}");
        assert_eq!(sealing.decrypt(&ticket[..at]), None, "cut at {at}");
    }
    // A clock that is set back leaves no key in its time: no ticket, and no failure.
    hands.pass(-10 * TICKET_KEY_SECONDS);
    assert_eq!(sealing.encrypt(b"session"), None);
    let (fresh, alone) = (client_of(&bed), hands.now());
    assert!(!node.resumes(&fresh) && !node.resumes(&fresh));
    tickets.tend();
    assert!(!node.resumes(&fresh) && node.resumes(&fresh) && alone == hands.now());
}

/// A ticket is bound to server name, policy epoch and issuer: with another of these, a full handshake.
#[test]
fn h017_a_ticket_is_bound_to_name_policy_and_issuer() {
    let (mut bed, hands) = (Bed::new(), Hands::new());
    let [mut node] = nodes(&mut bed, &hands);
    let client = client_of(&bed);
    assert!(!node.resumes(&client) && node.resumes(&client));
    let (other, _) = bed.leaf(&mut node.shard, OTHER);
    assert!(!connect(&node.shard, &other, &client, OTHER));
    let client = client_of(&bed);
    assert!(!node.resumes(&client) && node.resumes(&client));
    // Flows that start before the next policy keep their leaf, and with it what its tickets are bound to.
    let (chain, _, period) = issuer_parts(now(), &["*.saas.example"]);
    let issuer = Arc::new(Issuer::from_parts(&chain, period.not_before, period.not_after).expect("issuer"));
    bed.root = rustls_pki_types::CertificateDer::from(chain[1].clone());
    let client = client_of(&bed);
    node.shard.install_issuer(Arc::clone(&issuer), 2);
    node.leaf = bed.leaf(&mut node.shard, HOST).0;
    assert!(!node.resumes(&client) && node.resumes(&client));
    node.shard.install_issuer(issuer, 3);
    node.leaf = bed.leaf(&mut node.shard, HOST).0;
    assert!(!node.resumes(&client), "another epoch");
    assert!(node.resumes(&client));

    let keyring = node.shared.tickets();
    let ticket = keyring.bound(b"issuer", 7, &sni(HOST)).encrypt(b"session").expect("a ticket");
    for (issuer, epoch, name) in [(&b"other"[..], 7, HOST), (b"issuer", 8, HOST), (b"issuer", 7, OTHER)] {
        assert_eq!(keyring.bound(issuer, epoch, &sni(name)).decrypt(&ticket), None);
    }
    assert!(keyring.bound(b"issuer", 7, &sni(HOST)).decrypt(&ticket).is_some());
}

/// A flow that is under way when its issuer is renewed keeps its leaf and goes on; the next one has the new issuer's.
#[test]
fn h103_an_issuer_that_is_renewed_drops_no_flow() {
    let bed = Bed::new();
    let mut shard = bed.shard();
    let (leaf, _) = bed.leaf(&mut shard, HOST);
    let client = Arc::new(bed.client());
    let mut half_way = downstream(&shard, &leaf, &client, HOST, 1);
    let mut flow = downstream(&shard, &leaf, &client, HOST, usize::MAX);
    assert_eq!(flow.exchange(b"first answer", b"first request"), Ok(()));
    let (renewed, root) = issuer(now(), &["*.saas.example"]);
    shard.install_issuer(Arc::new(renewed), 1);
    assert_eq!(flow.exchange(b", second answer", b", second request"), Ok(()));
    assert_eq!(flow.at_peer, b"first answer, second answer");
    assert_eq!(half_way.exchange(b"answer", b"request"), Ok(()), "a handshake that had begun");
    let (next, _) = bed.leaf(&mut shard, HOST);
    assert!(!Arc::ptr_eq(&next, &leaf));
    let trusting = Arc::new(super::bed::client_trusting(&root));
    assert_eq!(downstream(&shard, &next, &trusting, HOST, usize::MAX).exchange(b"answer", b"request"), Ok(()));
}

/// Whatever control sends: bounded in number, unusable keys left out, and no secret in what is logged.
#[test]
fn keys_are_bounded_and_tell_nothing() {
    let hands = Hands::new();
    let clock = hands.clone();
    let keyring = Arc::new(TicketKeyring::with_clock(move || clock.now()));
    for number in 0..100 {
        keyring.install((0..10).map(|more| key(number + more, hands.now())).collect());
    }
    let shown = format!("{keyring:?}");
    assert!(shown.matches("TicketKey {").count() <= TICKET_KEYS_MAX, "{shown}");
    assert!(!shown.contains("99, 99") && !shown.contains("secret"), "{shown}");
    let at = now();
    let refused =
        |name: usize, secret: usize, until: i64| TicketKey::new(&vec![1; name], &vec![2; secret], at, until).is_none();
    assert!(refused(15, 32, at + 1) && refused(16, 31, at + 1) && refused(16, 32, at) && refused(16, 33, at + 1));
    assert!(refused(16, 32, at + TICKET_KEY_SECONDS + 1) && refused(16, 32, i64::MIN) && !refused(16, 32, at + 1));
}
