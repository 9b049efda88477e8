//! One appliance, started as an operator starts it: `penstock up` in a temporary directory on free ports.

use std::cell::Cell;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use rustls::ClientConfig;
use serde_json::Value;
use tempfile::TempDir;

use crate::admin::Admin;
use crate::client::{self, Client};
use crate::http2::Http2Client;
use crate::network::{Network, Place};
use crate::place;
use crate::process::{self, Process};
use crate::saas::Saas;
use crate::tunnel::{self, STAFF};
use crate::upstream::Upstream;
use crate::wait;

/// What an appliance is started with.
pub struct Setup {
    policy: String,
    hosts: Vec<(String, SocketAddr)>,
    authorities: Vec<PathBuf>,
    shards: u16,
    listen: String,
    admin: String,
    users: Option<String>,
    dataplane: Option<String>,
    /// `io_engine` of the data plane, where it is not left to it.
    engine: Option<&'static str>,
    control: Option<String>,
    arguments: Vec<String>,
    deadlines: Option<String>,
    /// The library that stands between it and the system's clock.
    clock: Option<PathBuf>,
    /// The namespace that it runs in.
    namespace: Option<String>,
    /// Size of a disk that holds nothing but the audit spool.
    spool_disk: Option<String>,
}

thread_local! {
    static ENGINE: Cell<Option<&'static str>> = const { Cell::new(None) };
}

/// Runs a test once more, with data planes whose `io_engine` is `engine` wherever its own thread makes a [`Setup`].
pub fn with_engine(engine: &'static str, test: impl FnOnce()) {
    ENGINE.set(Some(engine));
    test();
    assert_eq!(ENGINE.take(), Some(engine));
}

/// The tests of these names once more, on the epoll engine: elsewhere the host's is used, which is io_uring.
#[macro_export]
macro_rules! on_epoll {
    ($($test:ident),+ $(,)?) => {
        mod epoll {
            $(
                #[test]
                fn $test() {
                    $crate::appliance::with_engine("epoll", super::$test);
                }
            )+
        }
    };
}

/// A running appliance. Its state directory lives as long as it does.
pub struct Appliance {
    process: Process,
    setup: Setup,
    directory: Arc<TempDir>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            policy: place::read(place::example_policy()),
            hosts: Vec::new(),
            authorities: Vec::new(),
            shards: 2,
            listen: "127.0.0.1:0".to_owned(),
            admin: "127.0.0.1:0".to_owned(),
            users: None,
            dataplane: None,
            engine: ENGINE.get(),
            control: None,
            arguments: Vec::new(),
            deadlines: None,
            clock: None,
            namespace: None,
            spool_disk: None,
        }
    }
}

impl Setup {
    /// Another policy than the example.
    pub fn policy(mut self, text: &str) -> Self {
        text.clone_into(&mut self.policy);
        self
    }

    /// Dials `address` for `name`; `*` for every name not listed.
    pub fn host(mut self, name: &str, address: SocketAddr) -> Self {
        self.hosts.push((name.to_owned(), address));
        self
    }

    /// Trusts the authority in a file on the upstream leg.
    pub fn authority(mut self, file: PathBuf) -> Self {
        self.authorities.push(file);
        self
    }

    /// Every name is dialled at `upstream`, whose authority is trusted.
    pub fn upstream(self, upstream: &Upstream) -> Self {
        self.host("*", upstream.address()).authority(upstream.ca())
    }

    /// Every name is dialled at the simulated endpoints.
    pub fn saas(self, saas: &Saas) -> Self {
        self.host("*", saas.address()).authority(saas.ca())
    }

    /// Asks for credentials of these users.
    pub fn users(mut self, text: &str) -> Self {
        self.users = Some(text.to_owned());
        self
    }

    /// An admin listener that is not on any free port, which somebody else may have got while control was away.
    pub fn admin(mut self, address: SocketAddr) -> Self {
        self.admin = address.to_string();
        self
    }

    /// More of the data plane's configuration.
    pub fn dataplane(mut self, text: &str) -> Self {
        self.dataplane = Some(text.to_owned());
        self
    }

    /// More of control's configuration.
    pub fn control(mut self, text: &str) -> Self {
        self.control = Some(text.to_owned());
        self
    }

    /// More arguments of `penstock up`.
    pub fn arguments(mut self, arguments: Vec<String>) -> Self {
        self.arguments = arguments;
        self
    }

    /// Other deadlines than the defaults, as lines of the data plane's configuration.
    pub fn deadlines(mut self, lines: &str) -> Self {
        self.deadlines = Some(lines.to_owned());
        self
    }

    /// At the gate of a network; what asks its listeners must be there too.
    pub fn within(mut self, network: &Network) -> Self {
        self.namespace = Some(network.namespace(Place::Gate));
        self
    }

    /// With a clock of its own, which [`Appliance::set_clock`] moves. `None` where libfaketime is missing.
    pub fn clock(mut self) -> Option<Self> {
        self.clock = Some(place::library("faketime/libfaketime.so.1")?);
        Some(self)
    }

    /// With the audit spool on a disk of its own, in a mount namespace that ends with the appliance. Needs root.
    pub fn spool_disk(mut self, size: &str) -> Self {
        self.spool_disk = Some(size.to_owned());
        self
    }

    /// Another number of shards than two.
    pub fn shards(mut self, shards: u16) -> Self {
        self.shards = shards;
        self
    }

    /// Starts it; panics with its log when it does not get ready.
    pub fn start(self) -> Appliance {
        self.start_in(Arc::new(TempDir::new().unwrap()))
    }

    /// Starts it on the state of an earlier one.
    pub fn start_in(self, directory: Arc<TempDir>) -> Appliance {
        self.try_start_in(directory).unwrap_or_else(|why| panic!("{why}"))
    }

    /// Starts it; the error is what it said.
    pub fn try_start_in(self, directory: Arc<TempDir>) -> Result<Appliance, String> {
        fs::write(directory.path().join("policy.toml"), &self.policy).unwrap();
        if let Some(users) = &self.users {
            fs::write(directory.path().join("users"), users).unwrap();
        }
        if let Some(text) = self.dataplane_config() {
            fs::write(directory.path().join("more.toml"), text).unwrap();
        }
        if let Some(text) = &self.control {
            fs::write(directory.path().join("more-control.toml"), text).unwrap();
        }
        let mut command = self.command(directory.path());
        let mut process = Process::try_start("penstock up", &mut command, &directory.path().join("penstock.log"))?;
        // Whatever a test does: no panic but those that it orders, and nothing left in the kernel's hands.
        let breaks = self.dataplane.as_ref().is_some_and(|lines| lines.contains("[faults]"));
        process.must_never_say(if breaks { &[LEFT_IN_FLIGHT] } else { &[LEFT_IN_FLIGHT, PANICKED] });
        let appliance = Appliance { process, setup: self, directory };
        if let Some(lines) = &appliance.setup.deadlines {
            appliance.set_deadlines(lines);
        }
        Ok(appliance)
    }

    /// What stands in the data plane's configuration beside what `penstock up` writes.
    fn dataplane_config(&self) -> Option<String> {
        let engine = self.engine.map(|engine| format!("io_engine = \"{engine}\"\n"));
        let parts = [engine.as_deref(), self.dataplane.as_deref()];
        (engine.is_some() || self.dataplane.is_some()).then(|| parts.into_iter().flatten().collect())
    }

    /// The operator's command, where the appliance is.
    fn penstock(&self) -> Command {
        let Some(namespace) = &self.namespace else { return Command::new(place::binary("penstock")) };
        let mut command = Command::new("ip");
        command.args(["netns", "exec", namespace]).arg(place::binary("penstock"));
        command
    }

    fn command(&self, directory: &Path) -> Command {
        let mut command = self.penstock();
        if let Some(library) = &self.clock {
            fs::write(directory.join("clock"), "+0\n").unwrap();
            command.env("LD_PRELOAD", library).env("FAKETIME_TIMESTAMP_FILE", directory.join("clock"));
            // Read at each look; what counts from the machine's start stays as it is.
            command.env("FAKETIME_NO_CACHE", "1").env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        }
        if let Some(size) = &self.spool_disk {
            let mut outer = Command::new("unshare");
            outer.args(["--mount", "sh", "-c", MOUNT, "sh", size]).arg(directory.join("state/dataplane/spool"));
            outer.arg(command.get_program()).args(command.get_args());
            command = outer;
        }
        command.arg("up").arg("--state").arg(directory.join("state"));
        command.arg("--policy").arg(directory.join("policy.toml"));
        command.args(["--listen", &self.listen, "--admin", &self.admin, "--shards", &self.shards.to_string()]);
        command.args(&self.arguments);
        for authority in &self.authorities {
            command.arg("--upstream-ca").arg(authority);
        }
        if self.users.is_some() {
            command.arg("--users").arg(directory.join("users"));
        }
        if self.dataplane_config().is_some() {
            command.arg("--dataplane-config").arg(directory.join("more.toml"));
        }
        if self.control.is_some() {
            command.arg("--control-config").arg(directory.join("more-control.toml"));
        }
        for (name, address) in &self.hosts {
            command.arg("--host").arg(format!("{name}={address}"));
        }
        command
    }
}

impl Appliance {
    /// An appliance on the example policy, with `upstream` behind every name.
    pub fn before(upstream: &Upstream) -> Self {
        Setup::default().upstream(upstream).start()
    }

    /// The proxy listener.
    pub fn proxy(&self) -> SocketAddr {
        self.process.text("proxy").parse().unwrap()
    }

    /// The transparent listener of that number.
    pub fn transparent(&self, index: usize) -> SocketAddr {
        let address = self.process.ready["transparent"][index]["address"].as_str();
        address.unwrap_or_else(|| panic!("no such listener in {}", self.process.ready)).parse().unwrap()
    }

    /// The state directory.
    pub fn state(&self) -> PathBuf {
        self.directory.path().join("state")
    }

    /// The file of users, when there is one.
    pub fn users(&self) -> PathBuf {
        self.directory.path().join("users")
    }

    /// The root certificate that clients must trust.
    pub fn root(&self) -> PathBuf {
        PathBuf::from(self.process.text("ca"))
    }

    /// Where the admin listener is, as a URL.
    pub fn admin_address(&self) -> &str {
        self.process.text("admin")
    }

    /// The admin listener.
    pub fn admin(&self) -> Admin {
        Admin::new(self.process.text("admin"), &place::read(self.process.text("admin_token_file")))
    }

    /// Process id of `control` or `dataplane` as they were started at first.
    pub fn pid(&self, daemon: &str) -> u32 {
        let pid = self.process.ready["pids"][daemon].as_u64().and_then(|pid| pid.try_into().ok());
        pid.unwrap_or_else(|| panic!("no pid of {daemon} in {}", self.process.ready))
    }

    /// Process id of `control` or `dataplane` that run now.
    pub fn running(&self, daemon: &str) -> Option<u32> {
        let pids: Value = serde_json::from_str(&place::read(self.state().join("penstock.pids"))).ok()?;
        pids[daemon].as_u64().and_then(|pid| pid.try_into().ok())
    }

    /// Resident bytes of the data plane, once they no longer grow.
    pub fn settled_memory(&self) -> usize {
        let mut last = 0;
        wait::until("the data plane's memory to settle", || {
            thread::sleep(Duration::from_millis(500));
            let status = place::read(format!("/proc/{}/status", self.running("dataplane")?));
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
            let bytes = line.trim().strip_suffix(" kB")?.parse::<usize>().ok()? * 1024;
            let is_settled = bytes <= last;
            last = bytes;
            is_settled.then_some(bytes)
        })
    }

    /// `penstock up` has no argument for deadlines: they are written into the file that it starts the data plane from, and
    /// the data plane is started again.
    fn set_deadlines(&self, lines: &str) {
        let file = self.state().join("dataplane.toml");
        fs::write(&file, format!("{}\n[deadlines]\n{lines}\n", place::read(&file))).unwrap();
        let before = self.pid("dataplane");
        process::signal(before, Signal::TERM);
        wait::until("another data plane", || self.running("dataplane").filter(|pid| *pid != before));
        wait::until("the data plane to serve", || tunnel::try_open(self.proxy(), "login.microsoftonline.com:443"));
    }

    /// Moves the clock of a setup with one, away from the right time by `offset`: `+3600`, `-1h`, `+400d`.
    pub fn set_clock(&self, offset: &str) {
        // In one step: it is read at any moment.
        let (fresh, file) = (self.directory.path().join("clock.new"), self.directory.path().join("clock"));
        fs::write(&fresh, format!("{offset}\n")).unwrap();
        fs::rename(fresh, file).unwrap();
    }

    /// The process of `penstock up`.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Logs of all its processes.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Stops it and starts it again on its state.
    pub fn restart(self) -> Self {
        let Self { mut process, setup, directory } = self;
        process.terminate();
        process.ended(wait::LIMIT).expect("penstock up ends on SIGTERM");
        drop(process);
        setup.start_in(directory)
    }

    /// Runs the operator's command against it.
    pub fn penstock(&self, arguments: &[&str]) -> Output {
        let mut command = self.setup.penstock();
        command.args(arguments).args(["--admin", self.process.text("admin")]);
        command.args(["--token-file", self.process.text("admin_token_file")]).stdin(Stdio::null());
        command.output().unwrap()
    }

    /// A tunnel to `name`, port 443.
    pub fn tunnel(&self, name: &str) -> TcpStream {
        self.tunnel_from(STAFF, name)
    }

    /// The same from another source.
    pub fn tunnel_from(&self, source: IpAddr, name: &str) -> TcpStream {
        tunnel::open(source, self.proxy(), &format!("{name}:443"))
    }

    /// A flow to a passed host that sends back what it gets (see [`crate::upstream::echo`]); it has sent back the ClientHello.
    pub fn echoing(&self, name: &str) -> TcpStream {
        let hello = client::first_flight(name, client::config(&[&self.root()])).1;
        let mut stream = self.tunnel(name);
        stream.write_all(&hello).unwrap();
        stream.read_exact(&mut vec![0; hello.len()]).unwrap();
        stream
    }

    /// A client of an inspected host: it trusts the appliance's root and nothing else.
    pub fn client(&self, name: &str) -> Client {
        self.try_client(name).unwrap_or_else(|error| panic!("{name}: {error}\n{}", self.log()))
    }

    /// The same where the handshake may fail.
    pub fn try_client(&self, name: &str) -> io::Result<Client> {
        self.client_with(STAFF, name, client::config(&[&self.root()]))
    }

    /// A client with everything chosen.
    pub fn client_with(&self, source: IpAddr, name: &str, config: Arc<ClientConfig>) -> io::Result<Client> {
        Client::connect(self.tunnel_from(source, name), name, config)
    }

    /// A client of an inspected host that speaks HTTP/2.
    pub fn http2_client(&self, name: &str) -> Http2Client {
        let config = client::config_mut(&[&self.root()], rustls::ALL_VERSIONS);
        Http2Client::connect(self.tunnel(name), name, config)
            .unwrap_or_else(|error| panic!("{name}: {error}\n{}", self.log()))
    }

    /// A client of a passed host: it trusts the origin's authority and nothing else.
    pub fn passed_client(&self, name: &str, authority: &Path) -> Client {
        self.client_with(STAFF, name, client::config(&[authority])).unwrap_or_else(|error| panic!("{name}: {error}"))
    }
}

/// Arguments: size, folder, command.
const MOUNT: &str = "set -e; umask 077; size=$1 folder=$2; shift 2; mkdir -p \"$folder\"; \
                     mount -t tmpfs -o size=\"$size\",mode=0700 penstock \"$folder\"; exec \"$@\"";

/// What a shard says that ends while the kernel still has operations of its.
const LEFT_IN_FLIGHT: &str = "operations are left in flight";
/// What the standard library says of a panic.
const PANICKED: &str = "panicked at";
