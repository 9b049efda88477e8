//! Who imports whom: between the crates (`manifests`), and between the rooms of one crate here.

use std::collections::BTreeSet;

use crate::source::{self, File};

/// Rooms of the data plane and what each may import, beside the leaves. A flow knows the shard that it lives on, and its
/// relays know the flow that they serve: these three see each other. Below them nothing looks up.
const DATAPLANE: &[(&str, &[&str])] = &[
    ("auth", &[]),
    ("boot", &["ring"]),
    ("bench_support", &["signer", "tls"]),
    ("flow", &["auth", "ingress", "relay", "resolve", "ring", "shard", "tls"]),
    ("ingress", &["auth", "flow", "ring", "shard"]),
    ("link", &["shard", "signer", "tls"]),
    ("relay", &["flow", "ring", "tls"]),
    ("resolve", &[]),
    ("ring", &[]),
    ("supervise", &["ring"]),
    ("watchdog", &["shard"]),
    ("shard", &["auth", "flow", "ingress", "resolve", "ring", "signer", "tls"]),
    // `tls` for the issuers of its tests.
    ("signer", &["boot", "tls"]),
    ("tls", &[]),
];
/// Rooms of the data plane that any may name.
const DATAPLANE_LEAVES: &[&str] = &["audit", "config", "metrics", "notify", "panics"];

/// Rooms of control and what each may import, beside the leaves.
const CONTROL: &[(&str, &[&str])] = &[
    ("access", &["audit", "store"]),
    ("admin", &["access", "audit", "ca", "export", "metrics", "oidc", "publish", "store"]),
    ("audit", &["store"]),
    ("bench_support", &["audit", "store"]),
    ("ca", &[]),
    ("doctor", &["audit"]),
    ("export", &["audit", "store"]),
    ("metrics", &["audit", "export", "publish"]),
    ("oidc", &["access"]),
    ("probe", &[]),
    ("publish", &["audit", "ca", "store"]),
    ("store", &[]),
    ("web", &["access", "admin", "audit", "ca", "doctor", "export", "oidc", "publish", "store"]),
];
/// Where a daemon is put together.
const ROOTS: &[&str] = &["bin", "daemon", "lib", "main"];

/// Rooms of control that any may name.
const CONTROL_LEAVES: &[&str] = &["config", "difference", "explain", "lock", "peer", "role", "service", "unified"];

#[test]
fn rooms_of_the_data_plane() {
    check("dataplane/src/", DATAPLANE, DATAPLANE_LEAVES);
}

#[test]
fn rooms_of_control() {
    check("control/src/", CONTROL, CONTROL_LEAVES);
}

#[test]
fn core_touches_no_world() {
    for file in source::files().iter().filter(|file| file.path.starts_with("core/src/")) {
        for (number, line) in file.code() {
            let world = ["std::", "tokio", "tracing", "rustls::", "async fn", ".await"];
            for word in world {
                assert!(!line.contains(word), "{}:{number}: core names `{word}`", file.path);
            }
        }
    }
}

#[test]
fn the_ring_alone_names_io_uring() {
    for file in source::files() {
        let within = file.path.starts_with("dataplane/src/ring/");
        for (number, line) in file.code() {
            let named = line.contains("tokio_uring") || line.contains("io_uring::");
            assert!(within || !named, "{}:{number}: io_uring is named outside dataplane/src/ring", file.path);
        }
    }
}

/// The folder of that name is `super::boring` to its neighbours, and `boring` stays the crate's own.
#[test]
fn one_folder_alone_names_boringssl() {
    for file in source::files() {
        let within = file.path.starts_with("dataplane/src/tls/boring/");
        for (number, line) in file.code() {
            let words = ["use boring::", "boring_sys", "boring::pkey::", "boring::ssl::", "boring::x509::"];
            let named = words.iter().any(|word| line.contains(word));
            assert!(within || !named, "{}:{number}: BoringSSL is named outside dataplane/src/tls/boring", file.path);
        }
    }
}

#[test]
fn leaves_import_only_leaves() {
    for (folder, rooms, leaves) in
        [("dataplane/src/", DATAPLANE, DATAPLANE_LEAVES), ("control/src/", CONTROL, CONTROL_LEAVES)]
    {
        for file in source::files().iter().filter(|file| file.path.starts_with(folder)) {
            let leaf = room_of(file, folder).filter(|room| leaves.contains(&room.as_str()));
            for (number, line) in file.code().filter(|_| leaf.is_some()) {
                for named in named_rooms(&line, rooms, leaves) {
                    assert!(leaves.contains(&named.as_str()), "{}:{number}: a leaf imports `{named}`", file.path);
                }
            }
        }
    }
}

#[test]
fn tls_never_sees_a_socket() {
    for file in source::files().iter().filter(|file| file.path.starts_with("dataplane/src/tls/")) {
        for (number, line) in file.code() {
            for word in ["TcpStream", "socket2", "OwnedFd", "RawFd", "crate::ring"] {
                assert!(!line.contains(word), "{}:{number}: tls names `{word}`", file.path);
            }
        }
    }
}

#[test]
fn the_operators_command_talks_to_the_admin_listener_only() {
    for file in source::files().iter().filter(|file| file.path.starts_with("control/src/bin/penstock/")) {
        for (number, line) in file.code() {
            assert!(!line.contains("::store"), "{}:{number}: the command reads the store", file.path);
            assert!(!line.contains("rusqlite"), "{}:{number}: the command reads the store", file.path);
        }
    }
}

/// Checks each `crate::room` in each room of a crate; the roots may name all of them.
fn check(folder: &str, rooms: &[(&str, &[&str])], leaves: &[&str]) {
    let mut wrong = BTreeSet::new();
    for file in source::files().iter().filter(|file| file.path.starts_with(folder)) {
        let Some(room) = room_of(file, folder) else { continue };
        let allowed = rooms.iter().find(|(name, _)| *name == room).map(|(_, allowed)| *allowed);
        if allowed.is_none() && !leaves.contains(&room.as_str()) {
            wrong.insert(format!("{}: the room `{room}` is in no table", file.path));
            continue;
        }
        for (number, line) in file.code() {
            for named in named_rooms(&line, rooms, leaves) {
                let free = named == room || leaves.contains(&named.as_str());
                if !free && !allowed.is_some_and(|allowed| allowed.contains(&named.as_str())) {
                    wrong.insert(format!("{}:{number}: `{room}` must not import `{named}`", file.path));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.into_iter().collect::<Vec<_>>().join("\n"));
}

/// The first folder or file name below the crate's root; `None` for the roots.
fn room_of(file: &File, folder: &str) -> Option<String> {
    let inner = file.path.strip_prefix(folder)?;
    let first = inner.split('/').next()?.trim_end_matches(".rs");
    (!ROOTS.contains(&first)).then(|| first.to_owned())
}

/// Rooms that a line names as `crate::room`, or in the braces behind `crate::`.
fn named_rooms(line: &str, rooms: &[(&str, &[&str])], leaves: &[&str]) -> Vec<String> {
    let mut named = Vec::new();
    for (at, _) in line.match_indices("crate::") {
        let rest = &line[at + "crate::".len()..];
        let words = rest.split(|character: char| !character.is_alphanumeric() && character != '_');
        let words: Vec<&str> = if rest.starts_with('{') { words.collect() } else { words.take(1).collect() };
        let known = |word: &&str| rooms.iter().any(|(name, _)| name == word) || leaves.contains(word);
        named.extend(words.into_iter().filter(known).map(str::to_owned));
    }
    named
}
