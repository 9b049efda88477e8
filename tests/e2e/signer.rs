//! The signer: who has the issuer's key in its memory and who has not, and what becomes of flows while it is stopped, killed or
//! flooded.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use penstock_tests::appliance::{Appliance, Setup};
use penstock_tests::client::{self, Client};
use penstock_tests::process::{self, Process};
use penstock_tests::tunnel::{self, STAFF};
use penstock_tests::upstream::{self, Upstream};
use penstock_tests::{place, wait};
use rustix::process::Signal;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject as _;
use tempfile::TempDir;

const ENTRA: &str = "login.microsoftonline.com";
const PASSED: &str = "www.example.org";

/// The signers that run below a process.
fn signers(parent: u32) -> Vec<u32> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().filter_map(Result::ok) {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        // pid (comm) state ppid ...
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let Some((head, rest)) = stat.rsplit_once(") ") else { continue };
        let of_parent = rest.split(' ').nth(1) == Some(parent.to_string().as_str());
        if of_parent && head.ends_with("(penstock-signer") && !rest.starts_with('Z') {
            found.push(pid);
        }
    }
    found
}

/// The one signer of the data plane that serves now.
fn signer(appliance: &Appliance) -> u32 {
    wait::until("a signer", || match signers(appliance.running("dataplane")?)[..] {
        [pid] => Some(pid),
        _ => None,
    })
}

/// The private scalar of the issuer of control's state, as numbers are written on paper.
fn issuer_scalar(state: &Path) -> [u8; 32] {
    let key = PrivatePkcs8KeyDer::from_pem_file(state.join("ca/issuer.pem")).unwrap();
    // ECPrivateKey (RFC 5915): version 1, then the scalar.
    let der = key.secret_pkcs8_der();
    let at = der.windows(5).position(|window| window == [2, 1, 1, 4, 32]).unwrap() + 5;
    der[at..at + 32].try_into().unwrap()
}

fn holds(bytes: &[u8], needle: &[u8]) -> bool {
    memchr::memmem::find(bytes, needle).is_some()
}

/// The scalar as files and libraries write it: from either end, and as text.
fn forms(scalar: &[u8; 32]) -> [Vec<u8>; 3] {
    let mut reversed = *scalar;
    reversed.reverse();
    let hex: String = scalar.iter().map(|byte| format!("{byte:02x}")).collect();
    [scalar.to_vec(), reversed.to_vec(), hex.into_bytes()]
}

/// Whether the memory of a process holds the scalar, in pages that are there; `None` when this user may not look.
fn memory_holds(pid: u32, scalar: &[u8; 32]) -> Option<bool> {
    let open = |file: &str| File::open(format!("/proc/{pid}/{file}")).ok();
    let (memory, pages) = (open("mem")?, open("pagemap")?);
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).ok()?;
    let forms = forms(scalar);
    let (mut seen, mut found) = (0_u64, false);
    for line in maps.lines().filter(|line| line.contains(" r") && !line.ends_with("[vvar]")) {
        let (from, to) = line.split(' ').next().unwrap().split_once('-').unwrap();
        let [from, to] = [from, to].map(|number| u64::from_str_radix(number, 16).unwrap() / PAGE);
        let mut entries = vec![0; usize::try_from((to - from) * 8).unwrap()];
        if pages.read_exact_at(&mut entries, from * 8).is_err() {
            continue;
        }
        // What stands together is read together, so that nothing hides on a border.
        let mut run = Vec::new();
        for (page, entry) in (from..).zip(entries.chunks_exact(8)) {
            let mut content = vec![0; usize::try_from(PAGE).unwrap()];
            let is_there = entry[7] & 0x80 != 0;
            if is_there && memory.read_exact_at(&mut content, page * PAGE).is_ok() {
                run.extend(content);
                seen += 1;
                continue;
            }
            let part = std::mem::take(&mut run);
            found |= forms.iter().any(|form| holds(&part, form));
        }
        found |= forms.iter().any(|form| holds(&run, form));
    }
    assert!(seen > 100, "{seen} pages of {pid}");
    Some(found)
}

const PAGE: u64 = 4096;

/// All files below `folder`.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    entries.flat_map(|entry| if entry.path().is_dir() { files(&entry.path()) } else { vec![entry.path()] }).collect()
}

/// Checks that only those who must have the key have it. Looking into memory wants root; who is not root learns that he may
/// not look, which is the point.
fn check_memory(scalar: &[u8; 32], without: &[u32], with: &[u32]) {
    if !rustix::process::geteuid().is_root() {
        for &pid in without.iter().chain(with) {
            assert_eq!(memory_holds(pid, scalar), None, "{pid} can be read by other processes of its user");
        }
        eprintln!("left out: only root may look for the key in memory");
        return;
    }
    for &pid in without {
        assert_eq!(memory_holds(pid, scalar), Some(false), "the key is in the memory of {pid}");
    }
    for &pid in with {
        assert_eq!(
            memory_holds(pid, scalar),
            Some(true),
            "the key is not where it must be, so the search finds nothing"
        );
    }
}

/// The data plane minted with it, and has it neither in memory nor in its files nor in its log; control and the signer have.
#[test]
fn h104_the_issuers_key_is_not_with_the_data_plane() {
    let upstream = Upstream::plan().start();
    let directory = Arc::new(TempDir::new().unwrap());
    let mut appliance = Setup::default().upstream(&upstream).start_in(Arc::clone(&directory));
    assert_eq!(appliance.client(ENTRA).get(ENTRA, "/").status, 200);
    let scalar = issuer_scalar(&appliance.state());
    let (up, dataplane) = (appliance.process().id(), appliance.running("dataplane").unwrap());
    let (control, signer) = (appliance.pid("control"), signer(&appliance));
    check_memory(&scalar, &[up, dataplane], &[control, signer]);
    for pid in [dataplane, signer] {
        let limits = place::read(format!("/proc/{pid}/limits"));
        let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
        assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"], "{core}");
    }
    let status = place::read(format!("/proc/{signer}/status"));
    let has = |what: &str, value: &str| {
        status
            .lines()
            .any(|line| line.strip_prefix(what).is_some_and(|rest| rest.trim().trim_start_matches('0') == value))
    };
    // Nothing, or CAP_IPC_LOCK, without which it could not lock memory under a limit.
    assert!((has("CapEff:", "") || has("CapEff:", "4000")) && has("CapInh:", ""), "{status}");
    assert!(!rustix::process::geteuid().is_root() || !has("VmLck:", " kB"), "its memory may be swapped: {status}");
    let forms = forms(&scalar);
    let log = appliance.log().into_bytes();
    assert!(forms.iter().all(|form| !holds(&log, form)), "the key is in the log");
    let state = appliance.state();
    let with_key: Vec<PathBuf> = files(&state)
        .into_iter()
        .filter(|file| fs::read(file).is_ok_and(|content| forms.iter().any(|form| holds(&content, form))))
        .collect();
    assert!(with_key.iter().all(|file| file.starts_with(state.join("ca"))), "{with_key:?}");

    // From the copy on its disk, without control: the same.
    drop(appliance);
    let config = files(&state).into_iter().find(|file| file.ends_with("dataplane.toml")).unwrap();
    let mut command = Command::new(place::binary("penstock-dataplane"));
    command.arg("--config").arg(&config);
    let alone = Process::start("penstock-dataplane", &mut command, &directory.path().join("alone.log"));
    let root = state.join("ca/root.pem");
    let proxy: SocketAddr = alone.text("listening").parse().unwrap();
    let stream = tunnel::open(STAFF, proxy, &format!("{ENTRA}:443"));
    let mut client = Client::connect(stream, ENTRA, client::config(&[&root])).unwrap();
    assert_eq!(client.get(ENTRA, "/").status, 200);
    check_memory(&scalar, &[alone.id()], &signers(alone.id()));
}

/// A passed host that sends back what it hears.
fn echo() -> SocketAddr {
    upstream::listen(|mut stream| {
        let mut bytes = [0; 4096];
        while let Ok(count @ 1..) = stream.read(&mut bytes) {
            if stream.write_all(&bytes[..count]).is_err() {
                return;
            }
        }
    })
}

struct Bed {
    appliance: Appliance,
    /// A flow that passes, begun before.
    passed: std::net::TcpStream,
    hello: Vec<u8>,
}

impl Bed {
    fn start(upstream: &Upstream) -> Self {
        let appliance = Setup::default().upstream(upstream).host(PASSED, echo()).shards(1).start();
        assert_eq!(appliance.client("known.google.com").get("known.google.com", "/").status, 200);
        let (_, hello) = client::first_flight(PASSED, client::config(&[&appliance.root()]));
        let passed = appliance.tunnel(PASSED);
        let mut bed = Self { appliance, passed, hello };
        bed.others_go_on();
        bed
    }

    /// Flows that pass, old and new, and inspected ones whose leaf is there.
    fn others_go_on(&mut self) {
        let mut fresh = self.appliance.tunnel(PASSED);
        for stream in [&mut self.passed, &mut fresh] {
            stream.write_all(&self.hello).unwrap();
            let mut heard = vec![0; self.hello.len()];
            stream.read_exact(&mut heard).unwrap();
            assert_eq!(heard, self.hello);
        }
        assert_eq!(self.appliance.client("known.google.com").get("known.google.com", "/").status, 200);
    }

    /// Whether a name is served.
    fn serves(&self, name: &str) -> bool {
        self.appliance.try_client(name).is_ok_and(|mut client| client.get(name, "/").status == 200)
    }

    fn faults(&self, kind: &str) -> f64 {
        let labels = ["leg=\"downstream\"", "phase=\"mint\"", &format!("kind=\"{kind}\"")];
        self.appliance.admin().metrics().sum("penstock_faults_total", &labels)
    }

    fn await_signer(&self, before: u32) {
        wait::until("another signer", || (signer(&self.appliance) != before).then_some(()));
        let up = || self.appliance.admin().metrics().sum("penstock_signer_up", &[]);
        wait::until("the signer to be up", || (up() == 1.0).then_some(()));
    }
}

/// A signer that is stopped is given a second by each flow and some by the data plane, which then starts another.
#[test]
fn h105_a_stopped_signer_refuses_new_names_and_nothing_else() {
    let upstream = Upstream::plan().start();
    let mut bed = Bed::start(&upstream);
    let stopped = signer(&bed.appliance);
    process::signal(stopped, Signal::STOP);
    let before = upstream.requests().len();
    assert!(!bed.serves("stopped.google.com"), "it waited for another signer");
    assert_eq!(upstream.requests().len(), before, "a request went on without a leaf");
    bed.others_go_on();
    wait::until("the fault", || (bed.faults("deadline") == 1.0).then_some(()));
    let events = bed.appliance.admin().await_events("status=fault", 1);
    assert_eq!(
        (&events[0]["fault"], &events[0]["sni"]),
        (&"downstream/mint/deadline".into(), &"stopped.google.com".into())
    );
    bed.await_signer(stopped);
    assert!(!process::alive(stopped));
    assert!(bed.serves("stopped.google.com"), "after recovery");
    assert!(bed.appliance.log().contains("it does not answer"), "{}", bed.appliance.log());
    bed.others_go_on();
}

#[test]
fn h105_a_killed_signer_is_started_again_with_its_issuer() {
    let upstream = Upstream::plan().start();
    let mut bed = Bed::start(&upstream);
    process::signal(bed.appliance.pid("control"), Signal::STOP);
    for round in 0..5 {
        let killed = signer(&bed.appliance);
        process::signal(killed, Signal::KILL);
        bed.others_go_on();
        let name = format!("round-{round}.google.com");
        wait::until("new names to be served", || bed.serves(&name).then_some(()));
        assert_ne!(signer(&bed.appliance), killed, "without control, from what the data plane has");
    }
    process::signal(bed.appliance.pid("control"), Signal::CONT);
}

/// Names that nobody has asked for before, all at once, at a signer that works and at one that does not.
#[test]
fn h105_a_flood_of_new_names_is_refused_where_it_cannot_be_served() {
    let upstream = Upstream::plan().start();
    let mut bed = Bed::start(&upstream);
    let flood = |bed: &Bed, kind: &str| {
        let served = AtomicUsize::new(0);
        thread::scope(|scope| {
            for index in 0..FLOOD {
                let served = &served;
                scope.spawn(move || {
                    let is_served = bed.serves(&format!("{kind}-{index}.google.com"));
                    served.fetch_add(usize::from(is_served), Ordering::Relaxed)
                });
            }
        });
        served.into_inner()
    };
    assert_eq!(flood(&bed, "served"), FLOOD);
    let stopped = signer(&bed.appliance);
    process::signal(stopped, Signal::STOP);
    let served = flood(&bed, "refused");
    bed.others_go_on();
    let refused = || bed.faults("deadline") + bed.faults("too_many") + bed.faults("not_ready");
    wait::until("each refusal to be counted", || (refused() == (FLOOD - served) as f64).then_some(()));
    assert!(served < FLOOD, "somebody signed");
    bed.await_signer(stopped);
    assert!(bed.serves("refused-0.google.com"));
    bed.others_go_on();
}

const FLOOD: usize = 64;

/// However the data plane ends: no signer is left behind, and none of an old one after an upgrade.
#[test]
fn a_signer_ends_with_its_data_plane() {
    let upstream = Upstream::plan().start();
    let mut appliance = Appliance::before(&upstream);
    let first = signer(&appliance);
    // One that is stopped, too.
    process::signal(first, Signal::STOP);
    process::signal(appliance.running("dataplane").unwrap(), Signal::KILL);
    wait::until("the signer to end", || (!process::alive(first)).then_some(()));
    let second = wait::until("another", || Some(signer(&appliance)).filter(|pid| *pid != first));
    process::signal(appliance.process().id(), Signal::HUP);
    wait::until("the old signer to end", || (!process::alive(second)).then_some(()));
    assert_eq!(appliance.client(ENTRA).get(ENTRA, "/").status, 200);
    let third = signer(&appliance);
    drop(appliance);
    wait::until("the last signer to end", || (!process::alive(third)).then_some(()));
}
