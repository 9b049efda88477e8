//! One seed's world of inspected flows: a shard, its listener, and a client and an origin for each visit.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection};
use tokio::net::{TcpListener, TcpStream};

use super::super::world;
use super::check::{Ended, Visited};
use super::message::Version;
use super::plan::{Manner, Visit};
use super::secure::{Fate, Outcome, Peer, Prelude};
use super::speech::{Answering, Asking};
use super::{HOST, IMPOSTOR};
use crate::flow::Stop;
use crate::ingress::Entrance;
use crate::metrics::ShardCells;
use crate::ring::Heirloom as _;
use crate::ring::chaos::{self, Dice};
use crate::ring::{self, Listener};
use crate::shard::run::accept;
use crate::shard::state::Shard;
use crate::tls::tests::bed::Bed;

const CONNECT: &[u8] = b"CONNECT login.microsoftonline.com:443 HTTP/1.1\r\nHost: login.microsoftonline.com:443\r\n\r\n";

/// The keys of a whole sweep.
pub(in super::super) struct InspectedBed {
    bed: Bed,
    /// For either version.
    clients: [Arc<ClientConfig>; 2],
    honest: Arc<ServerConfig>,
    impostor: Arc<ServerConfig>,
    silent: Arc<ServerConfig>,
}

impl InspectedBed {
    pub(in super::super) fn new() -> Self {
        let bed = world::bed();
        let clients = [vec![b"http/1.1".to_vec()], vec![b"h2".to_vec(), b"http/1.1".to_vec()]];
        let clients = clients.map(|alpn_protocols| {
            let mut client = bed.client();
            client.alpn_protocols = alpn_protocols;
            Arc::new(client)
        });
        let honest = bed.origin(HOST);
        let mut silent = (*honest).clone();
        silent.alpn_protocols.clear();
        Self { clients, impostor: bed.origin(IMPOSTOR), honest, silent: Arc::new(silent), bed }
    }

    fn client(&self, version: Version) -> ClientConnection {
        let [one, two] = &self.clients;
        let config = if version == Version::One { one } else { two };
        ClientConnection::new(Arc::clone(config), HOST.try_into().expect("name")).expect("client")
    }

    fn origin(&self, manner: Manner) -> ServerConnection {
        let config = match manner {
            Manner::Honest => &self.honest,
            Manner::Impostor => &self.impostor,
            Manner::Silent => &self.silent,
        };
        ServerConnection::new(Arc::clone(config)).expect("server")
    }
}

/// What stands for as long as the seed lasts.
struct World {
    shard: Rc<Shard>,
    listener: Rc<Listener>,
    upstream: Rc<TcpListener>,
}

/// Plays one seed to its end, all descriptors closed.
pub(in super::super) fn run(seed: u64, bed: &InspectedBed) -> Ended {
    let mut dice = Dice::new(seed);
    world::contain(seed, &mut dice, async |dice| play(dice, bed).await)
}

async fn play(dice: &mut Dice, bed: &InspectedBed) -> Ended {
    let upstream = Rc::new(TcpListener::bind("127.0.0.1:0").await.expect("origin"));
    let cells = Arc::new(ShardCells::new());
    let policy = format!("{}\n{}", world::POLICY, engines(dice));
    let shard = world::shard(&bed.bed, upstream.local_addr().expect("address"), &cells, &policy);
    let listener = Rc::new(Listener::bind("127.0.0.1:0".parse().expect("address"), 8).expect("listener"));
    ring::spawn(accept(Rc::clone(&shard), Entrance::Explicit, Rc::clone(&listener)));
    let world = World { shard, listener, upstream };
    let count = 1 + dice.below(2);
    let version = if dice.percent(50) { Version::One } else { Version::Two };
    let mut visits = Vec::new();
    for number in 1..=count {
        let visit = Visit::new(number, count, version, dice);
        visits.push(world.visit(number as u64, visit, dice, bed).await);
    }
    world.shard.draining.set(true);
    world.listener.cancel();
    Ended { visits, cells }
}

/// The section that says by which engines the legs are.
fn engines(dice: &mut Dice) -> String {
    let [upstream, downstream] = [(); 2].map(|()| ["rustls", "boring"][dice.below(2)]);
    format!("[[engine]]\nhosts = [\"{HOST}\"]\nupstream = \"{upstream}\"\ndownstream = \"{downstream}\"\n")
}

impl World {
    async fn visit(&self, number: u64, plan: Visit, dice: &mut Dice, bed: &InspectedBed) -> Visited {
        let faults = self.shard.cells.faults.total();
        let over = Rc::new(Cell::new(false));
        let client = self.client(&plan, Dice::new(dice.next()), bed, Rc::clone(&over));
        let origin = self.origin(&plan, Dice::new(dice.next()), bed, Rc::clone(&over));
        if let Some(moves) = plan.drain {
            self.drain(moves, Rc::clone(&over));
        }
        // The kernel has timers of its own where a window was shut: only a stalled script may make time fly.
        let is_fast = plan.fates.iter().any(|fate| matches!(fate, Fate::Stall(_)));
        let step = if is_fast { Duration::from_secs(10) } else { Duration::from_millis(100) };
        world::wait(&self.shard, &over, step, number, || client.is_finished() && origin.is_finished()).await;
        Visited {
            plan,
            client: client.await.expect("client"),
            origin: origin.await.expect("origin"),
            events: std::iter::from_fn(|| self.shard.audit.take()).collect(),
            faults: self.shard.cells.faults.total() - faults,
        }
    }

    fn client(
        &self,
        visit: &Visit,
        mut dice: Dice,
        bed: &InspectedBed,
        over: Rc<Cell<bool>>,
    ) -> tokio::task::JoinHandle<Outcome<Asking>> {
        let address = self.listener.local_address().expect("address");
        let tls = bed.client(visit.version);
        let visit = visit.clone();
        tokio::task::spawn_local(async move {
            let stream = TcpStream::connect(address).await.expect("connects");
            let asking = CONNECT.to_vec();
            let prelude = if visit.is_eager { Prelude::Eager(asking) } else { Prelude::Patient(asking) };
            let fate = visit.fates[0];
            let speech = Asking::new(visit, Dice::new(dice.next()));
            Peer::new(stream, tls.into(), prelude, speech, fate).play(dice, over).await
        })
    }

    fn origin(
        &self,
        visit: &Visit,
        mut dice: Dice,
        bed: &InspectedBed,
        over: Rc<Cell<bool>>,
    ) -> tokio::task::JoinHandle<Option<Outcome<Answering>>> {
        let (upstream, tls, visit) = (Rc::clone(&self.upstream), bed.origin(visit.origin), visit.clone());
        tokio::task::spawn_local(async move {
            let stream = loop {
                match tokio::time::timeout(Duration::from_millis(5), upstream.accept()).await {
                    Ok(accepted) => break accepted.expect("accepts").0,
                    Err(_elapsed) if over.get() => return None,
                    Err(_elapsed) => {}
                }
            };
            let fate = visit.fates[1];
            let speech = Answering::new(visit, Dice::new(dice.next()));
            Some(Peer::new(stream, tls.into(), Prelude::None, speech, fate).play(dice, over).await)
        })
    }

    /// As the shard's own thread drains, once there is a flow and `moves` were made.
    fn drain(&self, moves: u64, over: Rc<Cell<bool>>) {
        let (shard, listener) = (Rc::clone(&self.shard), Rc::clone(&self.listener));
        let at = chaos::moves() + moves;
        tokio::task::spawn_local(async move {
            let mut deadline_ms = None;
            while !over.get() {
                tokio::time::sleep(Duration::from_millis(1)).await;
                if deadline_ms.is_none() && shard.flows.len() > 0 && chaos::moves() >= at {
                    shard.draining.set(true);
                    shard.flows.drain();
                    listener.cancel();
                    deadline_ms = Some(shard.now_ms() + shard.config.deadlines.drain.as_millis() as u64);
                }
                if deadline_ms.is_some_and(|deadline_ms| shard.now_ms() >= deadline_ms) {
                    shard.flows.stop_all(Stop::Draining);
                }
            }
        });
    }
}
