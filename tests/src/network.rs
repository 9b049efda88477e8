//! A small network of the test's own: an inside host, the appliance and outside hosts, each in a network namespace.
//!
//! ```text
//! Place::Inside                 Place::Gate (the appliance)              Place::Outside
//! 10.77.0.2       eth0 ──── in0 10.77.0.1     198.51.100.1 out0 ──── eth0  198.51.100.10, .20
//! fd77::2                       fd77::1       2001:db8::1                  2001:db8::10, ::20
//! ```
//!
//! The gate forwards, and both other places send everything through it, so whatever is asked outside crosses it. There is
//! no way out to the machine's own network. The inside host belongs to the example policy's profile `staff`.
//!
//! ```no_run
//! use penstock_tests::appliance::Setup;
//! use penstock_tests::network::{Network, Place, SIGN_IN_V4};
//! use penstock_tests::saas::Saas;
//!
//! let Some(network) = Network::start() else { return };             // says what it left out, fails in CI
//! let saas = Saas::start_outside(&network);                         // port 443 of every outside address
//! network.name("claude.ai", &[SIGN_IN_V4]);                         // as inside clients resolve it
//! let arguments = ["--transparent", "redirect=0.0.0.0:8443"].map(str::to_owned).to_vec();
//! let appliance = Setup::default().authority(saas.ca()).arguments(arguments).within(&network).start();
//! network.penstock_nft(&["apply", "--interface", "in0"]);           // the rule files, as an operator applies them
//! let output = network.run(Place::Inside, "curl", &["https://claude.ai/"]);
//! let metrics = network.enter(Place::Gate, || appliance.admin().metrics());   // a thread of the test's own, in there
//! ```
//!
//! Values drop in reverse order, so make the network first. Dropping it, on a panic too, ends what still runs in its
//! namespaces and removes them; what a killed test left is removed by the next that starts.

use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use rustix::process::Signal;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::place;
use crate::process::{alive, signal};

/// The inside host's addresses.
pub const INSIDE_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 77, 0, 2));
/// See [`INSIDE_V4`].
pub const INSIDE_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 2));
/// The gate's address towards inside.
pub const GATE_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 77, 0, 1));
/// See [`GATE_V4`].
pub const GATE_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 1));
/// An outside address, by custom of a sign-in host.
pub const SIGN_IN_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 10));
/// See [`SIGN_IN_V4`].
pub const SIGN_IN_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x10));
/// An outside address, by custom of any other host.
pub const OTHER_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 20));
/// See [`OTHER_V4`].
pub const OTHER_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x20));

/// A namespace of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The appliance.
    Gate,
    /// The clients.
    Inside,
    /// The origins.
    Outside,
}

/// See the module.
pub struct Network {
    /// Unique on the machine: tells whose it is and which of its networks.
    prefix: String,
}

impl Network {
    /// Makes the network; `None`, with a word on what is left out, for who is not root. In CI that is a failure.
    pub fn start() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            assert!(!place::strict(), "network namespaces need root, and CI must not leave them out");
            println!("left out: network namespaces: they need root");
            return None;
        }
        for program in ["ip", "nft"] {
            place::program(program)?;
        }
        sweep();
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let prefix = format!("{PREFIX}{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        // From here on dropping it cleans up.
        let network = Self { prefix };
        network.make();
        Some(network)
    }

    /// Gives a name addresses, for programs that start inside from now on.
    pub fn name(&self, name: &str, addresses: &[IpAddr]) {
        let file = self.folder(Place::Inside).join("hosts");
        let mut text = fs::read_to_string(&file).unwrap();
        addresses.iter().for_each(|address| text.push_str(&format!("{address} {name}\n")));
        fs::write(file, text).unwrap();
    }

    /// Gives the outside host more addresses, and the gate a way there.
    pub fn add_outside(&self, addresses: &[IpAddr]) {
        for address in addresses {
            self.must(Place::Outside, "ip", &["addr", "add", &format!("{address}/32"), "dev", "eth0"]);
            self.must(Place::Gate, "ip", &["route", "add", &format!("{address}/32"), "dev", "out0"]);
        }
    }

    /// A command that runs there.
    pub fn command(&self, place: Place, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace(place)]).arg(program);
        command
    }

    /// Runs a program there to its end.
    pub fn run(&self, place: Place, program: &str, arguments: &[&str]) -> Output {
        self.command(place, program).args(arguments).stdin(Stdio::null()).output().unwrap()
    }

    /// The same for a program that must succeed; answers its standard output.
    pub fn must(&self, place: Place, program: &str, arguments: &[&str]) -> String {
        let output = self.run(place, program, arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{program} {arguments:?} at {place:?}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Calls `work` on a thread that is there: every socket that it makes is of that place.
    pub fn enter<T: Send>(&self, place: Place, work: impl FnOnce() -> T + Send) -> T {
        let namespace = File::open(Path::new("/run/netns").join(self.namespace(place))).unwrap();
        let there = move || {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            work()
        };
        thread::scope(|scope| scope.spawn(there).join().unwrap_or_else(|panicked| std::panic::resume_unwind(panicked)))
    }

    /// Runs `deploy/nftables/penstock-nft` at the gate; it must succeed.
    pub fn penstock_nft(&self, arguments: &[&str]) -> String {
        self.must(Place::Gate, penstock_nft().to_str().unwrap(), arguments)
    }

    /// Everything at the gate that rules and routes consist of, but the routes that the kernel makes by itself.
    pub fn traces(&self) -> String {
        let ask = |program, arguments: &[&str]| self.must(Place::Gate, program, arguments);
        let families = ["-4", "-6"].map(|family| {
            [ask("ip", &[family, "rule"]), ask("ip", &[family, "route", "show", "table", "all"])].concat()
        });
        let lines = [ask("nft", &["list", "ruleset"]), families.concat()].concat();
        lines.lines().filter(|line| !line.contains("proto kernel")).map(|line| format!("{line}\n")).collect()
    }

    pub(crate) fn namespace(&self, place: Place) -> String {
        let last = match place {
            Place::Gate => "g",
            Place::Inside => "i",
            Place::Outside => "o",
        };
        format!("{}-{last}", self.prefix)
    }

    /// What `ip netns exec` puts over `/etc` there.
    fn folder(&self, place: Place) -> PathBuf {
        Path::new("/etc/netns").join(self.namespace(place))
    }

    fn make(&self) {
        let [gate, inside, outside] = PLACES.map(|place| self.namespace(place));
        for place in PLACES {
            ip(&["netns", "add", &self.namespace(place)]);
            fs::create_dir_all(self.folder(place)).unwrap();
            fs::write(self.folder(place).join("hosts"), "127.0.0.1 localhost\n::1 localhost\n").unwrap();
            // Nobody answers there, at once.
            fs::write(self.folder(place).join("resolv.conf"), "nameserver 127.0.0.1\n").unwrap();
            ip(&["-n", &self.namespace(place), "link", "set", "lo", "up"]);
            // Addresses are there at once, without a look for duplicates, also those that the kernel gives a device by
            // itself: one that turns up a second later is a change of the network to a browser, which gives up its page.
            self.must(place, "sh", &["-c", "echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad"]);
        }
        ip(&["-n", &inside, "link", "add", "eth0", "type", "veth", "peer", "name", "in0", "netns", &gate]);
        ip(&["-n", &outside, "link", "add", "eth0", "type", "veth", "peer", "name", "out0", "netns", &gate]);
        let sides: [(&str, &str, &[IpAddr]); 4] = [
            (&inside, "eth0", &[INSIDE_V4, INSIDE_V6]),
            (&gate, "in0", &[GATE_V4, GATE_V6]),
            (&gate, "out0", &[GATE_OUT_V4, GATE_OUT_V6]),
            (&outside, "eth0", &[SIGN_IN_V4, OTHER_V4, SIGN_IN_V6, OTHER_V6]),
        ];
        for (namespace, device, addresses) in sides {
            for address in addresses {
                let net = if address.is_ipv4() { format!("{address}/24") } else { format!("{address}/64") };
                ip(&["-n", namespace, "addr", "add", &net, "dev", device]);
            }
            ip(&["-n", namespace, "link", "set", device, "up"]);
        }
        for setting in ["net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"] {
            let [name, value] = [setting.split('=').next(), setting.split('=').next_back()].map(Option::unwrap);
            let file = format!("/proc/sys/{}", name.replace('.', "/"));
            self.must(Place::Gate, "sh", &["-c", &format!("echo {value} >{file}")]);
        }
        for (namespace, gates) in [(&inside, [GATE_V4, GATE_V6]), (&outside, [GATE_OUT_V4, GATE_OUT_V6])] {
            for gate in gates {
                let family = if gate.is_ipv4() { "-4" } else { "-6" };
                ip(&["-n", namespace, family, "route", "add", "default", "via", &gate.to_string()]);
            }
        }
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        PLACES.iter().for_each(|place| remove(&self.namespace(*place)));
    }
}

/// The script that applies the rule files.
pub fn penstock_nft() -> PathBuf {
    place::workspace().join("deploy/nftables/penstock-nft")
}

/// Ends what runs in a namespace of ours, and removes it.
fn remove(namespace: &str) {
    let pids = Command::new("ip").args(["netns", "pids", namespace]).output().map(|output| output.stdout);
    for pid in String::from_utf8_lossy(&pids.unwrap_or_default()).lines().filter_map(|line| line.trim().parse().ok()) {
        signal(pid, Signal::KILL);
    }
    let _ = Command::new("ip").args(["netns", "del", namespace]).stderr(Stdio::null()).status();
    let _ = fs::remove_dir_all(Path::new("/etc/netns").join(namespace));
}

/// Removes networks whose tests are gone.
fn sweep() {
    for entry in fs::read_dir("/run/netns").into_iter().flatten().flatten() {
        let Ok(name) = entry.file_name().into_string() else { continue };
        let owner = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next()?.parse().ok());
        if owner.is_some_and(|owner: u32| !alive(owner)) {
            remove(&name);
        }
    }
}

fn ip(arguments: &[&str]) {
    let output = Command::new("ip").args(arguments).output().unwrap();
    assert!(output.status.success(), "ip {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

const PREFIX: &str = "penstock-t";
const PLACES: [Place; 3] = [Place::Gate, Place::Inside, Place::Outside];
const GATE_OUT_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1));
const GATE_OUT_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));
