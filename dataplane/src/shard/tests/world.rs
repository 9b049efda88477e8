//! One seed's world: a shard, its listener, a client, an origin, and what must hold when all has ended.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use penstock_core::flow::{Direction, RelayPath};
use penstock_core::policy::{self, Verdict};
use penstock_core::signer::Refusal;
use penstock_core::tls::alert::{self, Alert};
use rustls::ClientConnection;
use tokio::net::{TcpListener, TcpStream};

use super::peer::{self, End, Fate, Outcome, Script};
use crate::audit::AuditRing;
use crate::config::Config;
use crate::ingress::Entrance;
use crate::metrics::ShardCells;
use crate::resolve::{ConnectorAddresses, Lookups};
use crate::ring::Heirloom as _;
use crate::ring::chaos::{self, Dice, Settings};
use crate::ring::{self, Listener};
use crate::shard::OpenFlows;
use crate::shard::PinnedClients;
use crate::shard::mailbox::Installed;
use crate::shard::run::accept;
use crate::shard::state::{Shard, ShardSeed};
use crate::signer::{Ask, SignerHandle};
use crate::tls::tests::bed::{self, Bed};

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

[deny]
hosts = ["denied.example"]
"#;
const ESTABLISHED: &[u8] = b"HTTP/1.1 200 Connection established\r\n\r\n";

pub(super) fn bed() -> Bed {
    Bed::for_hosts(&["login.microsoftonline.com"])
}

/// What a seed plans.
#[derive(Clone, Debug)]
struct Plan {
    denied: bool,
    /// Bytes of the CONNECT head at the front of the client's.
    head_bytes: usize,
    client_bytes: Vec<u8>,
    origin_bytes: Vec<u8>,
    fates: [Fate; 2],
}

/// What came of a seed.
pub(super) struct Ended {
    plan: Plan,
    client: Outcome,
    origin: Option<Outcome>,
    cells: Arc<ShardCells>,
    events: usize,
    pub(super) spliced: bool,
}

/// Plays one seed to its end.
pub(super) fn run(seed: u64, bed: &Bed) -> Ended {
    contain(seed, &mut Dice::new(seed), async |dice| play(dice, bed).await)
}

/// Has `play` run under the chaos of the seed, until all operations have ended and all descriptors are closed.
pub(super) fn contain<T>(seed: u64, dice: &mut Dice, play: impl AsyncFnOnce(&mut Dice) -> T) -> T {
    let open = chaos::open();
    chaos::begin(dice.next(), settings(dice));
    let ended = ring::start(super::engine_of(seed), async {
        let ended = play(dice).await;
        for _ in 0..200 {
            if ring::in_flight() == 0 && chaos::open() == open {
                break;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(ring::in_flight(), 0, "operations in flight");
        assert_eq!(chaos::open(), open, "descriptors left open");
        ended
    });
    chaos::end();
    ended.expect("runtime")
}

fn settings(dice: &mut Dice) -> Settings {
    let calm = dice.percent(30);
    Settings {
        block_percent: if calm { 0 } else { dice.below(40) },
        cut_percent: if calm { 0 } else { dice.below(60) },
        late_turns_max: dice.below(5),
        buffer_bytes: dice.percent(25).then(|| 8192 + dice.below(60_000)),
    }
}

fn plan(dice: &mut Dice, bed: &Bed) -> Plan {
    let denied = dice.percent(15);
    let hello_name = if denied { "denied.example" } else { "passed.example" };
    let mut client_bytes = b"CONNECT passed.example:443 HTTP/1.1\r\nHost: passed.example:443\r\n\r\n".to_vec();
    let head_bytes = client_bytes.len();
    let name = hello_name.to_owned().try_into().expect("name");
    let mut hello = ClientConnection::new(Arc::new(bed.client()), name).expect("client");
    hello.write_tls(&mut client_bytes).expect("a vector");
    let sizes = [0, 300, 5_000, 200_000, 600_000];
    let most = if denied { 4_000 } else { sizes[dice.below(sizes.len())] };
    let count = dice.below(most + 1);
    client_bytes.extend(dice.bytes(count));
    let count = if dice.percent(40) { 400_000 } else { dice.below(3_000) };
    let origin_bytes = dice.bytes(count);
    let total = client_bytes.len() + origin_bytes.len();
    let mut fates = [Fate::Finish; 2];
    let which = dice.below(2);
    fates[which] = match dice.below(100) {
        0..45 => Fate::Finish,
        45..75 => Fate::Reset(dice.below(total)),
        _ => Fate::Stall(dice.below(total)),
    };
    Plan { denied, head_bytes, client_bytes, origin_bytes, fates }
}

/// With a signer that signs at once.
pub(super) fn shard(bed: &Bed, upstream: SocketAddr, cells: &Arc<ShardCells>, policy: &str) -> Rc<Shard> {
    let (signer, mut asked) = SignerHandle::played();
    drop(tokio::task::spawn_local(async move {
        while let Some(ask) = asked.recv().await {
            let Ask::Mint { request, reply } = ask else { continue };
            let _waiting = reply.send(bed::sign(&request, bed::now()).map_err(Refusal::from));
        }
    }));
    shard_with(bed, upstream, cells, policy, signer)
}

pub(super) fn shard_with(
    bed: &Bed,
    upstream: SocketAddr,
    cells: &Arc<ShardCells>,
    policy: &str,
    signer: SignerHandle,
) -> Rc<Shard> {
    let text = format!(
        "node = \"node\"\nstate_directory = \"unused\"\nlisten.proxy = \"127.0.0.1:0\"\nlink.socket = \"unused\"\n\
         [upstream]\nnative_roots = false\n[upstream.hosts]\n\"*\" = \"{upstream}\"\n\
         [deadlines]\nidle_ms = 600000\nhalf_close_ms = 600000\n"
    );
    let lookups = Lookups::start(&tokio::runtime::Handle::current(), &["127.0.0.1:9".parse().expect("address")]);
    let seed = ShardSeed {
        index: 0,
        config: Arc::new(Config::parse("dataplane.toml", &text).expect("configuration")),
        cells: Arc::clone(cells),
        audit: AuditRing::detached(Arc::clone(cells)),
        lookups: lookups.clone(),
        addresses: ConnectorAddresses::start(&tokio::runtime::Handle::current(), lookups),
        pinned: PinnedClients::default(),
        tls: Arc::clone(&bed.shared),
        auth: None,
        open_flows: OpenFlows::default(),
        pulse: Arc::default(),
        signer,
        worn: Arc::default(),
        pressure: Arc::default(),
    };
    let shard = Rc::new(Shard::new(seed).expect("shard"));
    let snapshot = policy::compile("policy.toml", policy, Some(1), 1).expect("policy");
    shard.install(Arc::new(Installed { snapshot: Arc::new(snapshot), issuer: Arc::clone(&bed.issuer) }));
    shard
}

async fn play(dice: &mut Dice, bed: &Bed) -> Ended {
    let plan = plan(dice, bed);
    let upstream = TcpListener::bind("127.0.0.1:0").await.expect("origin");
    let cells = Arc::new(ShardCells::new());
    let shard = shard(bed, upstream.local_addr().expect("address"), &cells, POLICY);
    let listener = Rc::new(Listener::bind("127.0.0.1:0".parse().expect("address"), 8).expect("listener"));
    let address = listener.local_address().expect("address");
    ring::spawn(accept(Rc::clone(&shard), Entrance::Explicit, Rc::clone(&listener)));

    let over = Rc::new(Cell::new(false));
    let first = dice.below(3);
    let gate = if dice.percent(20) { (usize::MAX, 0) } else { (plan.head_bytes, ESTABLISHED.len()) };
    let script = |bytes: &[u8], gate, fate, ends_first| Script { bytes: bytes.to_vec(), gate, fate, ends_first };
    let client_script = script(&plan.client_bytes, gate, plan.fates[0], first != 0);
    let origin_script = script(&plan.origin_bytes, (0, dice.below(2)), plan.fates[1], first != 1);
    let (client_dice, origin_dice) = (Dice::new(dice.next()), Dice::new(dice.next()));
    let client_over = Rc::clone(&over);
    let client = tokio::task::spawn_local(async move {
        let stream = TcpStream::connect(address).await.expect("connects");
        peer::play(stream, client_script, client_dice, client_over).await
    });
    let origin_over = Rc::clone(&over);
    let origin = tokio::task::spawn_local(async move {
        let stream = loop {
            match tokio::time::timeout(Duration::from_millis(5), upstream.accept()).await {
                Ok(accepted) => break accepted.expect("accepts").0,
                Err(_elapsed) if origin_over.get() => return None,
                Err(_elapsed) => {}
            }
        };
        Some(peer::play(stream, origin_script, origin_dice, origin_over).await)
    });
    // The kernel has timers of its own where a window was shut: only a stalled script may make time fly.
    let fast = plan.fates.iter().any(|fate| matches!(fate, Fate::Stall(_)));
    let step = if fast { Duration::from_secs(10) } else { Duration::from_millis(100) };
    wait(&shard, &over, step, 1, || client.is_finished() && origin.is_finished()).await;
    shard.draining.set(true);
    listener.cancel();
    assert_eq!(cells.pipes_in_use.value(()), 0, "pipes in use");
    let events = std::iter::from_fn(|| shard.audit.take()).count();
    let spliced = cells.relay_bytes.value((Direction::Egress, RelayPath::Splice))
        + cells.relay_bytes.value((Direction::Ingress, RelayPath::Splice));
    let (client, origin) = (client.await.expect("client"), origin.await.expect("origin"));
    Ended { plan, client, origin, cells, events, spliced: spliced > 0 }
}

/// Until `flows` have ended in all, and both scripts. Time passes on the shard's clock while nothing moves.
pub(super) async fn wait(
    shard: &Rc<Shard>,
    over: &Rc<Cell<bool>>,
    step: Duration,
    flows: u64,
    both_done: impl Fn() -> bool,
) {
    let started = Instant::now();
    let (mut moves, mut idle) = (chaos::moves(), 0);
    loop {
        tokio::time::sleep(Duration::from_millis(1)).await;
        over.set(shard.flows.len() == 0 && shard.cells.flows.total() >= flows);
        if over.get() && both_done() {
            return;
        }
        assert!(
            idle < IDLE_TURNS_MAX && started.elapsed() < HANG,
            "stands still with {} flows, {} closed, {} operations in flight, after {} ms of the shard's",
            shard.flows.len(),
            shard.cells.flows.total(),
            ring::in_flight(),
            shard.clock.now_ms()
        );
        idle = if moves == chaos::moves() { idle + 1 } else { 0 };
        moves = chaos::moves();
        if idle > 5 {
            shard.flows.reap(shard.clock.advance(if idle > 40 { step } else { SHORT_STEP }));
        }
    }
}

const SHORT_STEP: Duration = Duration::from_millis(100);
/// Turns without a byte moved: every deadline has passed long before, and a shut window has been asked for again.
const IDLE_TURNS_MAX: u32 = 10_000;
/// Nothing else waits for the wall clock: this only ends what moves for ever.
const HANG: Duration = Duration::from_secs(30);

impl Ended {
    pub(super) fn is_reset(&self) -> bool {
        self.plan.fates.iter().any(|fate| matches!(fate, Fate::Reset(_)))
    }

    pub(super) fn is_stalled(&self) -> bool {
        self.plan.fates.iter().any(|fate| matches!(fate, Fate::Stall(_)))
    }

    pub(super) fn check(&self) {
        let Self { plan, client, origin, cells, .. } = self;
        let said = || {
            format!("{:?}: client {:?} after {} and {}", plan.fates, client.end, client.written, client.received.len())
        };
        assert_eq!(cells.flows.total(), 1, "counted once; {}", said());
        assert!(self.events <= 1, "{} audit events; {}", self.events, said());
        for verdict in [Verdict::Pass, Verdict::Inspect, Verdict::Deny] {
            assert_eq!(cells.flows_active.value((verdict,)), 0, "{verdict:?} still active");
        }
        let tunnelled = &plan.client_bytes[plan.head_bytes..];
        let calm = plan.fates == [Fate::Finish; 2];
        let mut expected = ESTABLISHED.to_vec();
        if plan.denied {
            expected.extend(alert::record(Alert::AccessDenied));
        } else {
            expected.extend_from_slice(&plan.origin_bytes);
        }
        assert!(expected.starts_with(&client.received), "the client got other bytes; {}", said());
        if calm {
            assert_eq!((client.received.len(), client.end), (expected.len(), End::Eof), "{}", said());
        }
        let Some(origin) = origin else {
            assert!(!calm, "never dialled");
            return;
        };
        assert!(tunnelled.starts_with(&origin.received), "the origin got other bytes; {}", said());
        if plan.denied {
            assert!(origin.received.is_empty(), "a denied flow reached the origin");
            return;
        }
        if calm {
            assert_eq!((origin.received.len(), origin.end), (tunnelled.len(), End::Eof), "{}", said());
            assert_eq!(cells.faults.total(), 0, "{}", said());
        }
        self.check_ends(origin);
    }

    /// The end of the stream never stands behind part of what a peer had to say: not after a reset, not after a deadline.
    fn check_ends(&self, origin: &Outcome) {
        let Self { plan, client, .. } = self;
        let tunnelled = plan.client_bytes.len() - plan.head_bytes;
        if !origin.received.is_empty() && origin.end == End::Eof {
            assert_eq!(origin.received.len(), tunnelled, "the origin takes a part for the whole; {:?}", plan.fates);
        }
        let is_reset = matches!(plan.fates[1], Fate::Reset(_));
        if (is_reset || client.received.len() > ESTABLISHED.len()) && client.end == End::Eof {
            let whole = ESTABLISHED.len() + plan.origin_bytes.len();
            assert_eq!(client.received.len(), whole, "the client takes a part for the whole; {:?}", plan.fates);
        }
    }
}
