//! The looks at versions, clock, CA, roots, paths and disk.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use penstock_core::audit::timestamp;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use x509_parser::parse_x509_certificate;

use super::Check;
use crate::audit::moment;
use crate::config;

/// Certificates are minted and verified against this clock, and audit events carry its time.
pub(super) fn clock() -> Check {
    let now_ms = moment::now_ms();
    let found = timestamp(now_ms);
    if now_ms < BUILT_AFTER_MS {
        return Check::failed("clock", found, "it is years behind: run timedatectl set-ntp true, or set it by hand");
    }
    if Path::new(SYNCHRONISED).exists() || !Path::new("/run/systemd/timesync").exists() {
        return Check::good("clock", found);
    }
    Check::warning("clock", format!("{found}, not synchronised"), "run: timedatectl set-ntp true")
}

/// Only looks: a root is made by the first start, not here.
pub(super) fn authority(state: &Path) -> Check {
    let folder = state.join("ca");
    let (certificate, key) = (folder.join("root.pem"), folder.join("root.key"));
    let pem = match fs::read(&certificate) {
        Ok(pem) => pem,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Check::good("ca", format!("none yet in {}; the first start makes it", folder.display()));
        }
        Err(error) => {
            return Check::failed(
                "ca",
                format!("{}: {error}", certificate.display()),
                "run this as the appliance's user",
            );
        }
    };
    let mode = fs::metadata(&key).map(|metadata| metadata.permissions().mode() & 0o777);
    match mode {
        Err(error) => {
            let fix = "restore it from the backup, or move the ca folder away to have a new root made";
            return Check::failed("ca", format!("{}: {error}", key.display()), fix);
        }
        Ok(mode) if mode & 0o077 != 0 => {
            let found = format!("{}: other users may read it (mode {mode:o})", key.display());
            return Check::failed("ca", found, format!("run: chmod 600 {}", key.display()));
        }
        Ok(_) => {}
    }
    let Some(not_after) = not_after(&pem) else {
        let fix = "restore it from the backup, or move the ca folder away to have a new root made";
        return Check::failed("ca", format!("{}: is no certificate", certificate.display()), fix);
    };
    let now = i64::try_from(moment::now_ms() / 1000).unwrap_or(i64::MAX);
    let end = timestamp(u64::try_from(not_after).unwrap_or(0).saturating_mul(1000));
    if not_after <= now {
        let renew = "move the ca folder away, start again, and give clients the new root";
        return Check::failed("ca", format!("the root ended {end}"), renew);
    }
    // The one that signs is first; a second one is there while one root follows another.
    let is_followed = CertificateDer::pem_slice_iter(&pem).flatten().count() > 1;
    let found = match (is_followed, folder.join("next.pem").exists()) {
        (true, true) => format!("the root ends {end}; the next one is announced (penstock ca show)"),
        (true, false) => format!("the root ends {end}; the old one is still served (penstock ca rotate --finish)"),
        (false, _) => format!("the root ends {end}"),
    };
    if not_after - now < RENEWAL_NOTICE_SECONDS && !folder.join("next.pem").exists() {
        return Check::warning("ca", found, "run: penstock ca rotate, and bring the next root to every client");
    }
    Check::good("ca", found)
}

fn not_after(pem: &[u8]) -> Option<i64> {
    let der = CertificateDer::from_pem_slice(pem).ok()?;
    let (_, certificate) = parse_x509_certificate(&der).ok()?;
    Some(certificate.validity().not_after.timestamp())
}

/// Without roots no origin can be verified, and every inspected flow fails.
pub(super) fn upstream_roots(files: &[PathBuf]) -> Check {
    let native = rustls_native_certs::load_native_certs();
    let mut count = native.certs.len();
    for file in files {
        match CertificateDer::pem_file_iter(file).map(|certificates| certificates.filter(Result::is_ok).count()) {
            Ok(more) if more > 0 => count += more,
            Ok(_) => {
                let fix = "name a PEM file with certificates";
                return Check::failed("upstream roots", format!("{}: holds no certificate", file.display()), fix);
            }
            Err(error) => {
                let fix = "name a PEM file with certificates";
                return Check::failed("upstream roots", format!("{}: {error}", file.display()), fix);
            }
        }
    }
    match (count, native.errors.first()) {
        (0, Some(error)) => Check::failed("upstream roots", error.to_string(), "run: apt install ca-certificates"),
        (0, None) => Check::failed("upstream roots", "none", "run: apt install ca-certificates"),
        (count, _) => Check::good("upstream roots", count.to_string()),
    }
}

/// The link's socket lives in the state folder.
pub(super) fn socket_path(state: &Path) -> Check {
    let absolute = std::path::absolute(state).unwrap_or_else(|_| state.to_owned()).join("link.sock");
    match config::check_socket_path(&absolute) {
        Ok(()) => Check::good("link socket", absolute.display().to_string()),
        Err(error) => Check::failed("link socket", error.to_string(), "choose a shorter --state"),
    }
}

/// All three programs are of one version, or they may not understand each other.
pub(super) fn versions() -> Check {
    let own = env!("CARGO_PKG_VERSION");
    let of = |name: &str| {
        let path = std::env::current_exe().ok()?.with_file_name(name);
        let output = Command::new(path).arg("--version").output().ok()?;
        String::from_utf8(output.stdout).ok()?.split_whitespace().last().map(str::to_owned)
    };
    let found = ["penstock-control", "penstock-dataplane"].map(|name| (name, of(name)));
    match found.iter().find(|(_, version)| version.as_deref() != Some(own)) {
        None => Check::good("versions", own),
        Some((name, version)) => {
            let version = version.as_deref().unwrap_or("missing");
            let fix = format!("apt-get install --reinstall ./penstock_{own}_$(dpkg --print-architecture).deb");
            Check::failed("versions", format!("this is {own}, {name} is {version}"), fix)
        }
    }
}

/// Policies, audit and keys are written there.
pub(super) fn disk(state: &Path) -> Check {
    let there = state.ancestors().find(|folder| folder.exists()).unwrap_or_else(|| Path::new("."));
    let (folder, fix) = (state.display(), format!("df -h {}; journalctl --vacuum-size=200M", there.display()));
    match rustix::fs::statvfs(there) {
        Err(error) => Check::warning("state disk", format!("{folder}: {error}"), "sudo penstock doctor"),
        Ok(disk) => {
            let mib = disk.f_bavail.saturating_mul(disk.f_frsize) >> 20;
            let found = format!("{mib} MiB free at {folder}");
            if mib < STATE_MIB_MIN {
                Check::failed("state disk", found, fix)
            } else if mib < STATE_MIB_WISHED {
                Check::warning("state disk", found, fix)
            } else {
                Check::good("state disk", found)
            }
        }
    }
}

/// Room for a policy and a day's events of a small site.
const STATE_MIB_MIN: u64 = 64;
/// Room for millions of events.
const STATE_MIB_WISHED: u64 = 1_024;
/// No clock is right that says it is before this program was written: 2026-01-01.
const BUILT_AFTER_MS: u64 = 1_767_225_600_000;
/// Made by systemd-timesyncd when it has heard from a server.
const SYNCHRONISED: &str = "/run/systemd/timesync/synchronized";
/// Clients need time to get a new root.
const RENEWAL_NOTICE_SECONDS: i64 = 90 * 86_400;
