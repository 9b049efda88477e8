//! The judgement: what the configuration asks for and the host does not give, and the command that mends it.

use penstock_core::limits::AUDIT_SPOOL_BYTES_MAX;

use super::facts::{Facts, Table};
use crate::boot::report::{Check, failed, good, warning};
use crate::config::{Config, Link, QuicRefusal, Steering};

/// Judges a host.
pub(super) fn judge(config: &Config, facts: &Facts) -> Vec<Check> {
    let looks =
        [process, capabilities, flows, rules, routes, reverse_path, tracking, disk, control, issuer, roots, names];
    looks.iter().map(|look| look(config, facts)).collect()
}

fn process(_config: &Config, facts: &Facts) -> Check {
    match &facts.running {
        None => warning("data plane", "does not run", "systemctl start penstock-dataplane"),
        Some(running) if running.is_outdated => {
            let found = format!("process {} is of a binary that was replaced", running.pid);
            warning("data plane", found, "systemctl reload penstock-dataplane")
        }
        Some(running) => good("data plane", format!("process {}", running.pid)),
    }
}

/// Ports of TCP listeners.
fn listener_ports(config: &Config) -> impl Iterator<Item = u16> {
    let transparent = config.listeners.iter().map(|listener| listener.address.port());
    transparent.chain([config.listen.proxy.port()]).filter(|port| *port != 0)
}

fn capabilities(config: &Config, facts: &Facts) -> Check {
    let quic = config.quic.as_ref();
    let marks = config.upstream.mark.is_some() || quic.is_some();
    let spoofs = config.listeners.iter().any(|listener| listener.keep_source || listener.steering == Steering::Tproxy);
    let is_low = |port: u16| u64::from(port) < facts.first_free_port;
    let binds = listener_ports(config).any(is_low) || quic.is_some_and(|quic| quic.refuse == QuicRefusal::Close);
    let wanted =
        [(marks || spoofs, CAP_NET_ADMIN, "CAP_NET_ADMIN"), (binds, CAP_NET_BIND_SERVICE, "CAP_NET_BIND_SERVICE")];
    let has = facts.running.as_ref().map_or(facts.own_capabilities, |running| running.capabilities);
    let wanted: Vec<_> = wanted.into_iter().filter(|(is_wanted, ..)| *is_wanted).collect();
    let names = |of: &[(bool, u64, &str)]| of.iter().map(|(.., name)| *name).collect::<Vec<_>>().join(" ");
    let missing: Vec<_> = wanted.iter().copied().filter(|(_, bit, _)| has & (1 << bit) == 0).collect();
    if wanted.is_empty() {
        return good("capabilities", "none is needed");
    }
    if missing.is_empty() {
        return good("capabilities", names(&wanted));
    }
    let who = if facts.running.is_some() { "the data plane" } else { "this command" };
    let all = names(&wanted);
    let fix = format!(
        "mkdir -p {DROP_INS}; printf '[Service]\\nAmbientCapabilities={all}\\nCapabilityBoundingSet={all}\\n' \
         >{DROP_INS}/capabilities.conf; systemctl daemon-reload; systemctl restart penstock-dataplane"
    );
    failed("capabilities", format!("{who} lacks {}", names(&missing)), fix)
}

/// A passed flow takes two descriptors.
fn flows(config: &Config, facts: &Facts) -> Check {
    let (flows, limit) = (config.limits.flows, facts.running.as_ref().and_then(|running| running.descriptors));
    let wanted = flows as u64 * 2;
    match limit.filter(|limit| *limit < wanted) {
        None => good("flows", format!("{flows} at once")),
        Some(limit) => {
            let fix = format!(
                "mkdir -p {DROP_INS}; printf '[Service]\\nLimitNOFILE={wanted}\\n' >{DROP_INS}/descriptors.conf; systemctl \
                 daemon-reload; systemctl restart penstock-dataplane; or set limits.flows_max = {}",
                limit / 2
            );
            warning("flows", format!("{flows} want {wanted} descriptors, and it may have {limit}"), fix)
        }
    }
}

/// Mode and port of what the kernel is to lead here; direct listeners need no rule.
fn steered(config: &Config) -> Vec<(&'static str, u16)> {
    let by_rules = config.listeners.iter().filter(|listener| !matches!(listener.steering, Steering::Direct { .. }));
    by_rules.map(|listener| (listener.steering.label(), listener.address.port())).collect()
}

fn quic_port(config: &Config) -> Option<u16> {
    config.quic.as_ref().and_then(|quic| quic.listen.first()).map(std::net::SocketAddr::port)
}

/// A value of what was applied.
fn told<'a>(about: &'a str, key: &str) -> &'a str {
    about.split(' ').find_map(|word| word.strip_prefix(key)?.strip_prefix('=')).unwrap_or_default()
}

fn rules(config: &Config, facts: &Facts) -> Check {
    let (steered, quic) = (steered(config), quic_port(config));
    let apply = || apply_command(config, facts);
    match &facts.table {
        Table::Absent | Table::Unknown(_) if steered.is_empty() && quic.is_none() => good("rules", "none is needed"),
        Table::Unknown(reason) => warning("rules", format!("cannot be looked at: {reason}"), "sudo penstock doctor"),
        Table::Absent => {
            let what = steered.first().map_or("quic", |(mode, _)| mode);
            failed(
                "rules",
                format!("no table inet penstock: nothing leads connections to the {what} listener"),
                apply(),
            )
        }
        Table::Applied(about) if steered.is_empty() && quic.is_none() => {
            let port = told(about, "listener_port");
            failed(
                "rules",
                format!("lead connections to port {port}, where nothing is to listen"),
                "penstock-nft remove",
            )
        }
        Table::Applied(about) => {
            let leads_to = (told(about, "mode"), told(about, "listener_port"));
            let fits = steered.iter().any(|(mode, port)| leads_to == (*mode, port.to_string().as_str()));
            let quic_fits = told(about, "quic_port") == quic.map(|port| port.to_string()).unwrap_or_default();
            match (fits || steered.is_empty(), quic_fits) {
                (true, true) => good("rules", about.clone()),
                (false, _) => failed(
                    "rules",
                    format!("lead to the {} listener on port {}, which is not configured", leads_to.0, leads_to.1),
                    apply(),
                ),
                (true, false) => failed("rules", "lead QUIC elsewhere than [quic] listens", apply()),
            }
        }
    }
}

fn apply_command(config: &Config, facts: &Facts) -> String {
    let interface = match facts.inside.as_slice() {
        [one] => one.as_str(),
        _ => "NAME",
    };
    let mut command = "penstock-nft apply".to_owned();
    if let Some((mode, port)) = steered(config).first() {
        command += &format!(" --mode {mode} --listener-port {port}");
    }
    command += &format!(" --interface {interface}");
    if let Some(port) = quic_port(config) {
        command += &format!(" --quic-port {port}");
    }
    if let Some(mark) = config.upstream.mark {
        command += &format!(" --own-mark {mark}");
    }
    command
}

/// Marked packets are delivered here by a rule and a route of their own.
fn routes(config: &Config, facts: &Facts) -> Check {
    let about = match &facts.table {
        Table::Applied(about) if told(about, "mode") == "tproxy" || !told(about, "quic_port").is_empty() => about,
        Table::Absent | Table::Applied(_) | Table::Unknown(_) => return good("routes", "none is needed"),
    };
    let (mark, table) = (told(about, "steer_mark"), told(about, "routing_table"));
    let quic = config.quic.iter().flat_map(|quic| &quic.listen);
    let six = config.listeners.iter().map(|listener| &listener.address).chain(quic).any(std::net::SocketAddr::is_ipv6);
    let mut fixes = Vec::new();
    for (family, shown) in ["-4", "-6"].iter().zip(&facts.routes).take(if six { 2 } else { 1 }) {
        if !shown.lines().any(|line| line.contains(&format!("fwmark {mark} lookup {table}"))) {
            fixes.push(format!("ip {family} rule add fwmark {mark} lookup {table}"));
        }
        let delivers =
            |line: &str| line.starts_with("local default dev lo") && line.contains(&format!("table {table} "));
        if !shown.lines().any(|line| delivers(&format!("{line} "))) {
            fixes.push(format!("ip {family} route add local default dev lo table {table}"));
        }
    }
    if fixes.is_empty() {
        return good("routes", format!("mark {mark} is delivered by table {table}"));
    }
    failed("routes", format!("packets of mark {mark} are not delivered here"), fixes.join("; "))
}

/// Strict, the kernel drops what comes in elsewhere than its answers go out.
fn reverse_path(config: &Config, facts: &Facts) -> Check {
    if !config.listeners.iter().any(|listener| listener.steering == Steering::Tproxy) {
        return good("reverse path", "does not matter");
    }
    let of = |name: &str| facts.reverse_path.iter().find(|(called, _)| called == name).map_or(0, |(_, value)| *value);
    let all = of("all");
    let strict = facts.reverse_path.iter().filter(|(name, value)| name != "all" && all.max(*value) == 1);
    let strict: Vec<&str> = strict.map(|(name, _)| name.as_str()).collect();
    if strict.is_empty() {
        return good("reverse path", "not strict");
    }
    let found =
        format!("strict at {}: packets that come by another way than answers go are dropped", strict.join(", "));
    warning("reverse path", found, "sysctl -w net.ipv4.conf.all.rp_filter=2")
}

/// `redirect` keeps the true destination there, and forwarded QUIC its state.
fn tracking(config: &Config, facts: &Facts) -> Check {
    let is_used =
        config.quic.is_some() || config.listeners.iter().any(|listener| listener.steering == Steering::Redirect);
    let Some((count, most)) = facts.tracked.filter(|_| is_used) else {
        return good("connection tracking", "does not matter");
    };
    let found = format!("{count} of {most} connections");
    let is_short = most < TRACKED_WISHED || count.saturating_mul(5) > most.saturating_mul(4);
    if is_short {
        let wanted = TRACKED_WISHED.max(most.saturating_mul(2));
        return warning("connection tracking", found, format!("sysctl -w net.netfilter.nf_conntrack_max={wanted}"));
    }
    good("connection tracking", found)
}

fn disk(config: &Config, facts: &Facts) -> Check {
    let folder = config.state_directory.display();
    let fix = format!("df -h {folder}; journalctl --vacuum-size=200M; or put state_directory on a larger disk");
    match &facts.free_bytes {
        Err(error) => warning("disk", format!("{folder}: {error}"), "sudo penstock doctor"),
        Ok(bytes) if *bytes < DISK_BYTES_MIN => failed("disk", format!("{} MiB free at {folder}", bytes >> 20), fix),
        Ok(bytes) if *bytes < AUDIT_SPOOL_BYTES_MAX => {
            let found = format!(
                "{} MiB free at {folder}, and the audit spool may take {}",
                bytes >> 20,
                AUDIT_SPOOL_BYTES_MAX >> 20
            );
            warning("disk", found, fix)
        }
        Ok(bytes) => good("disk", format!("{} MiB free at {folder}", bytes >> 20)),
    }
}

fn control(config: &Config, facts: &Facts) -> Check {
    let (place, fix) = match &config.link {
        Link::Socket(socket) => {
            (socket.display().to_string(), "systemctl start penstock-control.socket penstock-control")
        }
        Link::Controls(controls) => {
            let places: Vec<String> = controls.iter().map(ToString::to_string).collect();
            (places.join(", "), "on control's machine: set listen in [link], systemctl restart penstock-control")
        }
    };
    match &facts.link {
        Ok(()) => good("control", format!("answers at {place}")),
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            warning("control", format!("{place}: {error}"), "sudo penstock doctor")
        }
        Err(error) => warning("control", format!("{place}: {error}"), fix),
    }
}

fn issuer(_config: &Config, facts: &Facts) -> Check {
    let days = |seconds: i64| seconds / 86_400;
    match &facts.answers.issuer {
        Err(reason) => warning("issuer", format!("cannot be read: {reason}"), "sudo penstock doctor"),
        Ok(None) => warning(
            "issuer",
            "none yet: nothing is served before control has sent one",
            "systemctl start penstock-control",
        ),
        Ok(Some((start, _))) if facts.now < *start => {
            failed("issuer", "begins later than this machine's clock says", "timedatectl set-ntp true")
        }
        Ok(Some((_, end))) if facts.now > *end => failed(
            "issuer",
            format!("ended {} days ago: inspected hosts are refused", days(facts.now - end)),
            "systemctl restart penstock-control",
        ),
        Ok(Some((_, end))) if end - facts.now < ISSUER_NOTICE_SECONDS => warning(
            "issuer",
            format!("ends in {} days and was not renewed", days(end - facts.now)),
            "systemctl restart penstock-control",
        ),
        Ok(Some((_, end))) => good("issuer", format!("ends in {} days", days(end - facts.now))),
    }
}

fn roots(_config: &Config, facts: &Facts) -> Check {
    match &facts.answers.roots {
        Ok(count) => good("upstream roots", count.to_string()),
        Err(reason) => failed(
            "upstream roots",
            reason.clone(),
            "apt-get install --reinstall ca-certificates; or mend upstream.ca_files",
        ),
    }
}

fn names(_config: &Config, facts: &Facts) -> Check {
    match &facts.answers.addresses {
        None => good("dns", "is not asked"),
        Some(Ok(count)) => good("dns", format!("{count} addresses of {}", crate::boot::NAME_ASKED)),
        Some(Err(reason)) => {
            let fix = format!(
                "resolvectl query {}; mend /etc/resolv.conf, or set upstream.name_servers",
                crate::boot::NAME_ASKED
            );
            warning("dns", format!("{}: {reason}", crate::boot::NAME_ASKED), fix)
        }
    }
}

/// capabilities(7).
const CAP_NET_BIND_SERVICE: u64 = 10;
/// capabilities(7).
const CAP_NET_ADMIN: u64 = 12;
const DROP_INS: &str = "/etc/systemd/system/penstock-dataplane.service.d";
/// A redirected connection is tracked once, a forwarded one too.
const TRACKED_WISHED: u64 = 262_144;
/// Less, and neither a policy nor an event can be kept.
const DISK_BYTES_MIN: u64 = 64 << 20;
/// It is renewed at half of its 30 days.
const ISSUER_NOTICE_SECONDS: i64 = 7 * 86_400;
