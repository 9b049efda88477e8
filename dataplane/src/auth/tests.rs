//! The gate with real hashes of low cost, the file while it changes, and the bounds.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{fs, io};

use argon2::password_hash::{PasswordHasher as _, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use penstock_core::bytes::Parsed;
use penstock_core::limits;
use penstock_core::proxy::{Basic, Credentials, ProxyRequest, RequestReader};
use tempfile::TempDir;

use super::directory::Directory;
use super::failures::Failures;
use super::{Gate, Proof, Workers};

fn hash(password: &str) -> String {
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(64, 1, 1, None).unwrap());
    argon2.hash_password(password.as_bytes(), &SaltString::encode_b64(b"saltsalt").unwrap()).unwrap().to_string()
}

fn basic(user: &str, password: &str) -> Basic {
    use std::fmt::Write as _;
    // Base64 by hand: this crate has no use for it elsewhere.
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut token = String::new();
    for three in format!("{user}:{password}").as_bytes().chunks(3) {
        let bits = three.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for place in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * place) & 63) as usize] as char;
            write!(token, "{}", if place <= three.len() { letter } else { '=' }).unwrap();
        }
    }
    let head = format!("CONNECT a.example:443 HTTP/1.1\r\nProxy-Authorization: Basic {token}\r\n\r\n");
    match RequestReader::new().parse(head.as_bytes()) {
        Parsed::Complete { value: ProxyRequest::Connect(head), .. } => match head.credentials {
            Credentials::Basic(basic) => basic,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

fn gate(path: &Path) -> (Gate, Arc<Directory>) {
    let directory = Arc::new(Directory::load(path).unwrap());
    (Gate::new(Workers::start(Arc::clone(&directory)).unwrap()).unwrap(), directory)
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn write(folder: &TempDir, text: &str) -> io::Result<std::path::PathBuf> {
    let path = folder.path().join("users");
    // Another file each time, so that the stamp differs however coarse the clock is.
    let new = folder.path().join("users.new");
    fs::write(&new, text)?;
    fs::rename(&new, &path)?;
    Ok(path)
}

const SOURCE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

#[test]
fn right_and_wrong_passwords_and_users_who_do_not_exist() {
    let folder = TempDir::new().unwrap();
    let path = write(&folder, &format!("Alice:{}:finance,staff\n", hash("p:w"))).unwrap();
    let (gate, _) = gate(&path);
    run(async {
        let Proof::Right(who) = gate.verify(SOURCE, &basic("alice", "p:w")).await else { panic!("refused") };
        assert_eq!(
            (who.user.as_str(), who.groups.as_slice()),
            ("Alice", &["finance".to_owned(), "staff".to_owned()][..])
        );
        for (user, password) in [("alice", "p"), ("alice", ""), ("bob", "p:w"), ("alic", "ep:w")] {
            assert!(matches!(gate.verify(SOURCE, &basic(user, password)).await, Proof::Wrong), "{user} {password}");
        }
        assert_eq!(gate.remembered_count(), 1);
    });
}

#[test]
fn what_was_verified_is_remembered_for_minutes_and_not_past_a_change_of_the_file() {
    let folder = TempDir::new().unwrap();
    let path = write(&folder, &format!("alice:{}:\n", hash("one"))).unwrap();
    let (gate, directory) = gate(&path);
    let (now, one) = (Instant::now(), basic("alice", "one"));
    run(async {
        assert!(matches!(gate.verify_at(SOURCE, &one, now).await, Proof::Right(_)));
        assert!(directory.reload().is_none());
        let later = now + Duration::from_secs(limits::AUTH_CACHE_SECONDS);
        assert!(matches!(gate.verify_at(SOURCE, &one, later).await, Proof::Right(_)));
        write(&folder, &format!("alice:{}:new\n", hash("two"))).unwrap();
        assert_eq!(directory.reload(), Some(Ok(1)));
        assert!(matches!(gate.verify_at(SOURCE, &one, later).await, Proof::Wrong));
        let Proof::Right(who) = gate.verify_at(SOURCE, &basic("alice", "two"), later).await else { panic!("refused") };
        assert_eq!(who.groups, ["new"]);
    });
}

#[test]
fn a_wrong_file_changes_nothing_and_names_its_line() {
    let folder = TempDir::new().unwrap();
    let path = write(&folder, &format!("alice:{}:\n", hash("one"))).unwrap();
    let (gate, directory) = gate(&path);
    let costly = "$argon2id$v=19$m=1048576,t=2,p=1$c2FsdHNhbHQ$G5ajKFCoUzaXRLdz7UJb5wGkb2Xt+X5/GQjUYtS2+TE";
    for (text, said) in [
        ("# users\nalice:secret:\n".to_owned(), ":2: error: the hash of \"alice\" does not begin"),
        ("bob:$argon2id$v=19$m=64,t=1,p=1$c2Fsd:\n".to_owned(), ":1: error: the hash of \"bob\""),
        (format!("alice:{}:\n\nbob:{costly}:\n", hash("one")), ":3: error: the hash of \"bob\" asks for m=1048576"),
    ] {
        write(&folder, &text).unwrap();
        let reason = directory.reload().unwrap().unwrap_err();
        assert!(reason.contains(said), "{reason}");
        assert!(Directory::load(&path).is_err_and(|same| same == reason));
    }
    run(async { assert!(matches!(gate.verify(SOURCE, &basic("alice", "one")).await, Proof::Right(_))) });
    fs::remove_file(&path).unwrap();
    assert!(directory.reload().unwrap().unwrap_err().contains("cannot be read"));
}

#[test]
fn a_source_that_fails_often_is_not_verified_any_more_for_a_while() {
    let folder = TempDir::new().unwrap();
    let path = write(&folder, &format!("alice:{}:\nbob:{}:\n", hash("one"), hash("two"))).unwrap();
    let (gate, _) = gate(&path);
    let now = Instant::now();
    run(async {
        assert!(matches!(gate.verify_at(SOURCE, &basic("bob", "two"), now).await, Proof::Right(_)));
        for number in 0..limits::AUTH_FAILURES_MAX {
            let wrong = basic("alice", &format!("guess{number}"));
            assert!(matches!(gate.verify_at(SOURCE, &wrong, now).await, Proof::Wrong), "{number}");
        }
        let right = basic("alice", "one");
        assert!(matches!(gate.verify_at(SOURCE, &right, now).await, Proof::TooMany));
        assert!(matches!(gate.verify_at("127.0.0.2".parse().unwrap(), &right, now).await, Proof::Right(_)));
        // Who was verified before is not locked out by a neighbour behind the same address.
        assert!(matches!(gate.verify_at(SOURCE, &basic("bob", "two"), now).await, Proof::Right(_)));
        let later = now + Duration::from_secs(limits::AUTH_FAILURE_SECONDS);
        assert!(matches!(gate.verify_at(SOURCE, &basic("alice", "no"), later).await, Proof::Wrong));
    });
}

#[test]
fn one_verification_serves_all_who_ask_the_same() {
    let folder = TempDir::new().unwrap();
    let path = write(&folder, &format!("alice:{}:\n", hash("one"))).unwrap();
    let (gate, _) = gate(&path);
    let one = basic("alice", "one");
    run(async {
        let (first, second) = tokio::join!(gate.verify(SOURCE, &one), gate.verify(SOURCE, &one));
        assert!(matches!((first, second), (Proof::Right(_), Proof::Right(_))));
        assert_eq!(gate.remembered_count(), 1);
    });
}

#[test]
fn sources_are_counted_within_a_bound_and_ipv6_by_network() {
    let mut failures = Failures::default();
    let now = Instant::now();
    for number in 0..limits::AUTH_FAILURES_MAX {
        failures.add(format!("2001:db8::{number:x}").parse().unwrap(), now);
    }
    assert!(failures.is_over("2001:db8::ffff:1".parse().unwrap(), now));
    assert!(!failures.is_over("2001:db8:0:1::1".parse().unwrap(), now));
    for number in 0..2 * u32::try_from(limits::AUTH_SOURCES_MAX).unwrap() {
        failures.add(IpAddr::from(number.to_be_bytes()), now);
    }
    assert_eq!(failures.len(), limits::AUTH_SOURCES_MAX);
}
