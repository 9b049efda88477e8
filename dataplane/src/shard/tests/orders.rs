//! What a shard asks of its signer, and when, by a signer that the test plays.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use penstock_core::flow::FaultKind;
use penstock_core::policy::Verdict;
use penstock_core::signer::{MintRequest, Minted, Refusal};
use rustls::ClientConnection;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::world;
use crate::flow::Stop;
use crate::ingress::Entrance;
use crate::metrics::ShardCells;
use crate::ring::Heirloom as _;
use crate::ring::chaos::Dice;
use crate::ring::{self, Listener};
use crate::shard::orders::{Order, Orders};
use crate::shard::run::accept;
use crate::shard::state::Shard;
use crate::signer::{Ask, SignerHandle};
use crate::tls::TlsShard;
use crate::tls::tests::bed::{self, Bed};

const HOST: &str = "login.microsoftonline.com";
const LONG: Duration = Duration::from_secs(30);

type Reply = oneshot::Sender<Result<Minted, Refusal>>;

async fn asked_for(asked: &mut mpsc::Receiver<Ask>) -> (MintRequest, Reply) {
    match timeout(LONG, asked.recv()).await {
        Ok(Some(Ask::Mint { request, reply })) => (request, reply),
        _ => panic!("nothing was asked"),
    }
}

async fn settled(order: &Order) {
    while order.outcome().is_none() {
        timeout(LONG, order.done.notified()).await.expect("an outcome");
    }
}

/// By each engine, until everything has ended.
fn on_each(play: impl AsyncFn(&Bed)) {
    let bed = world::bed();
    for seed in 0..2 {
        world::contain(seed, &mut Dice::new(seed), async |_| play(&bed).await);
    }
}

/// A shard before an origin that takes connections and never says a word.
struct Silent {
    shard: Rc<Shard>,
    cells: Arc<ShardCells>,
    listener: Rc<Listener>,
    _origin: TcpListener,
}

impl Silent {
    async fn new(bed: &Bed, signer: SignerHandle) -> Self {
        let origin = TcpListener::bind("127.0.0.1:0").await.expect("origin");
        let cells = Arc::new(ShardCells::new());
        let address = origin.local_addr().expect("address");
        let shard = world::shard_with(bed, address, &cells, world::POLICY, signer);
        let listener = Rc::new(Listener::bind("127.0.0.1:0".parse().expect("address"), 8).expect("listener"));
        ring::spawn(accept(Rc::clone(&shard), Entrance::Explicit, Rc::clone(&listener)));
        Self { shard, cells, listener, _origin: origin }
    }

    /// A client that has said hello; returns when its flow is inspected.
    async fn client(&self, bed: &Bed, flows: i64) -> TcpStream {
        let address: SocketAddr = self.listener.local_address().expect("address");
        let mut stream = TcpStream::connect(address).await.expect("connects");
        let mut bytes = format!("CONNECT {HOST}:443 HTTP/1.1\r\nHost: {HOST}:443\r\n\r\n").into_bytes();
        let name = HOST.try_into().expect("name");
        let mut hello = ClientConnection::new(Arc::new(bed.client()), name).expect("client");
        hello.write_tls(&mut bytes).expect("a vector");
        stream.write_all(&bytes).await.expect("written");
        let inspected = async {
            while self.cells.flows_active.value((Verdict::Inspect,)) < flows {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(LONG, inspected).await.expect("inspected");
        stream
    }

    async fn end(self) {
        self.shard.draining.set(true);
        self.listener.cancel();
        self.shard.flows.stop_all(Stop::Draining);
        while self.shard.flows.len() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// The signer works while the origin does, and once for all flows of a name; nothing is counted as minted that no origin has
/// proven itself for.
#[test]
fn a_leaf_is_ordered_while_the_origin_thinks_and_once() {
    on_each(async |bed| {
        let (signer, mut asked) = SignerHandle::played();
        let silent = Silent::new(bed, signer).await;
        let _first = silent.client(bed, 1).await;
        let (request, reply) = asked_for(&mut asked).await;
        assert_eq!(request.name.as_str(), HOST);
        let _second = silent.client(bed, 2).await;
        reply.send(bed::sign(&request, bed::now()).map_err(Refusal::from)).expect("somebody waits");
        let _third = silent.client(bed, 3).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(asked.try_recv().is_err(), "asked for again");
        assert_eq!(silent.cells.leaf_minted.total(), 0);
        silent.end().await;
    });
}

/// An order lives as long as someone holds it; one that has failed is nobody's; each issuer has its own.
#[test]
fn an_order_is_shared_until_it_fails_or_is_let_go() {
    on_each(async |bed| {
        let (signer, mut asked) = SignerHandle::played();
        let orders = Orders::new(signer);
        let mut tls = TlsShard::new(Arc::clone(&bed.shared)).expect("shard");
        tls.install_issuer(Arc::clone(&bed.issuer), 1);
        let name = bed::sni(HOST);
        let begin = || orders.begin(tls.order(&name, bed::now()).expect("order"));
        let first = begin();
        assert!(orders.find(&name).is_some_and(|order| Rc::ptr_eq(&order, &first)));
        assert!(orders.find(&bed::sni("other.example")).is_none());
        let (request, reply) = asked_for(&mut asked).await;
        assert!(first.outcome().is_none());
        reply.send(bed::sign(&request, bed::now()).map_err(Refusal::from)).expect("somebody waits");
        settled(&first).await;
        assert!(matches!(first.outcome(), Some(Ok(_))) && orders.find(&name).is_some());
        drop(first);
        assert!(orders.find(&name).is_none(), "nobody holds it");

        let second = begin();
        asked_for(&mut asked).await.1.send(Err(Refusal::Busy)).expect("somebody waits");
        settled(&second).await;
        assert_eq!(second.outcome().map(|outcome| outcome.map(|_| ())), Some(Err(FaultKind::TooMany)));
        assert!(orders.find(&name).is_none(), "who comes now asks again");
    });
}
