//! systemd units and container files under `deploy`: hardened as promised, and readable for what reads them.

use std::process::Command;

use penstock_tests::place;

use crate::source;

/// Highest exposure that `systemd-analyze security` may find, in tenths.
const EXPOSURE_MAX: u32 = 20;

#[test]
fn units_are_hardened() {
    let Some(analyze) = place::program("systemd-analyze") else { return };
    for name in ["penstock-control.service", "penstock-dataplane.service"] {
        let unit = place::workspace().join("deploy/systemd").join(name);
        let output =
            Command::new(&analyze).args(["security", "--offline=true", "--no-pager"]).arg(&unit).output().unwrap();
        let report = String::from_utf8_lossy(&output.stdout).into_owned();
        let level = report.split("Overall exposure level for ").nth(1).unwrap_or_else(|| {
            panic!("{name}: {report}{}", String::from_utf8_lossy(&output.stderr));
        });
        let level = level.split_whitespace().nth(1).unwrap().replace('.', "");
        assert!(level.parse::<u32>().unwrap() <= EXPOSURE_MAX, "{name}: {report}");
    }
}

/// What the score does not tell apart: whose they are, what they may, who watches over them.
#[test]
fn units_are_of_their_own_users_and_watched() {
    for (name, capabilities) in [("control", ""), ("dataplane", "CAP_NET_ADMIN CAP_NET_BIND_SERVICE")] {
        let unit = place::read(place::workspace().join(format!("deploy/systemd/penstock-{name}.service")));
        for line in [
            format!("User=penstock-{name}").as_str(),
            format!("CapabilityBoundingSet={capabilities}").as_str(),
            format!("AmbientCapabilities={capabilities}").as_str(),
            "Type=notify",
            "WatchdogSec=30s",
            "NoNewPrivileges=yes",
            "ProtectSystem=strict",
            "ProtectHome=yes",
            "PrivateDevices=yes",
            "MemoryDenyWriteExecute=yes",
            "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6",
            "SystemCallArchitectures=native",
            "SystemCallFilter=~@privileged @resources",
            "LimitCORE=0",
        ] {
            assert!(unit.lines().any(|found| found == line), "penstock-{name}.service has no {line}");
        }
        assert!(!unit.contains("ReadWritePaths="), "penstock-{name}.service writes beside its state");
    }
}

/// Settings of the kernel in a text: `name = value` on a line, and what stands right above it.
fn settings(text: &str) -> Vec<(&str, &str)> {
    let lines: Vec<&str> = text.lines().collect();
    let setting =
        |line: &str| line.split_once(" = ").is_some_and(|(name, _)| name.contains('.') && !name.contains(' '));
    let mut found = Vec::new();
    for (index, line) in lines.iter().enumerate().filter(|(_, line)| setting(line)) {
        let above = lines[..index].iter().rev().find(|line| !setting(line)).copied().unwrap_or_default();
        found.push((line.split_once(" = ").unwrap().0, above));
    }
    found
}

#[test]
fn settings_of_the_kernel_exist_and_say_why() {
    let read = |path: &str| place::read(place::workspace().join("deploy").join(path));
    let brought = read("sysctl/60-penstock.conf");
    let brought = settings(&brought);
    assert!(brought.len() > 10, "{brought:?}");
    for (name, above) in &brought {
        assert!(above.starts_with("# "), "{name} does not say why");
    }
    let tuning = read("tuning.md");
    let tuned = settings(&tuning);
    assert!(tuned.len() > 5, "{tuned:?}");
    for (name, _) in brought.iter().chain(&tuned) {
        let file = format!("/proc/sys/{}", name.replace('.', "/"));
        assert!(std::path::Path::new(&file).exists(), "this kernel has no {name}");
    }
}

/// The worked example for bare metal speaks of each thing that it is to lay out.
#[test]
fn the_tuned_example_lays_out_processors_rings_pipes_and_tracking() {
    let tuning = place::read(place::workspace().join("deploy/tuning.md"));
    for word in [
        "smp_affinity_list",
        "CPUAffinity=",
        "isolcpus=",
        "ethtool -L",
        "ethtool -G",
        "shards = ",
        "fs.pipe-user-pages-soft",
        "LimitNOFILE",
        "net.netfilter.nf_conntrack_max",
        "modules-load.d",
    ] {
        assert!(tuning.contains(word), "deploy/tuning.md has nothing on {word}");
    }
}

/// The units start what the package installs, from the configuration that it installs, in folders that they own.
#[test]
fn units_fit_the_configuration() {
    let read = |path: &str| place::read(place::workspace().join("deploy").join(path));
    let [control, dataplane] = ["control", "dataplane"].map(|name| {
        let unit = read(&format!("systemd/penstock-{name}.service"));
        let config: toml::Table = read(&format!("config/{name}.toml")).parse().unwrap();
        assert!(unit.contains(&format!("ExecStart=/usr/bin/penstock-{name} ")), "{name}");
        assert!(unit.contains(&format!("--config /etc/penstock/{name}.toml")), "{name}");
        let state = config["state_directory"].as_str().unwrap().strip_prefix("/var/lib/").unwrap().to_owned();
        assert!(unit.lines().any(|line| line == format!("StateDirectory={state}")), "{name}: {state}");
        assert!(read("systemd/penstock.sysusers").contains(&format!("u penstock-{name} ")), "{name}");
        config
    });
    assert_eq!(control["link"]["socket"], dataplane["link"]["socket"]);
    let socket = control["link"]["socket"].as_str().unwrap();
    assert!(read("systemd/penstock-control.socket").lines().any(|line| line == format!("ListenStream={socket}")));
}

/// The options that the package brings are those of the script, and of the listener that the guide has.
#[test]
fn the_rules_of_the_package_can_be_made() {
    let deploy = place::workspace().join("deploy");
    let conf = place::read(deploy.join("config/nft.conf"));
    let options = conf.lines().find_map(|line| line.strip_prefix("OPTIONS=\"")?.strip_suffix('"')).unwrap();
    let output = Command::new(deploy.join("nftables/penstock-nft"))
        .arg("apply")
        .args(options.split(' '))
        .arg("--dry-run")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).contains("define own_mark = 0x51"));
    for unit in ["penstock-nft", "penstock-nft-heartbeat"] {
        let unit = place::read(deploy.join(format!("systemd/{unit}.service")));
        assert!(unit.contains("=/usr/sbin/penstock-nft "), "{unit}");
    }
}

#[test]
fn container_files_can_be_read() {
    let folder = place::workspace().join("deploy/container");
    let file = place::read(folder.join("Containerfile"));
    let stages = file.lines().filter(|line| line.starts_with("FROM ")).count();
    assert_eq!(stages, 2, "a build and what runs");
    let last = file.rsplit("FROM ").next().unwrap();
    assert!(last.lines().any(|line| line.starts_with("USER ") && line != "USER root"), "it would run as root");
    assert!(last.contains("ENTRYPOINT [") && !last.contains(":latest"), "{last}");
    // What is copied exists: in the tree, or by the stage before.
    for line in file.lines().filter(|line| line.starts_with("COPY ") && !line.contains("--from=")) {
        for source in line.split_whitespace().skip(1).filter(|word| !word.starts_with("--")).take(1) {
            assert!(place::workspace().join(source).exists(), "{line}");
        }
    }
    let yaml = "import json, sys, yaml; print(json.dumps([yaml.safe_load(open(name)) for name in sys.argv[1:]]))";
    if !std::path::Path::new("/usr/lib/python3/dist-packages/yaml").exists() {
        assert!(!place::strict(), "python3-yaml is missing (tests/run installs it)");
        return;
    }
    let files: Vec<_> =
        source::paths(&folder).into_iter().filter(|path| path.extension().is_some_and(|end| end == "yaml")).collect();
    let output = Command::new("/usr/bin/python3").args(["-c", yaml]).args(&files).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let compose: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let services = compose[0]["services"].as_object().unwrap();
    assert!(services.len() >= 2, "{services:?}");
    for (name, service) in services {
        assert_eq!(service["read_only"], true, "{name}");
        assert_eq!(service["cap_drop"][0], "ALL", "{name}");
        for port in service["ports"].as_array().into_iter().flatten() {
            assert!(port.as_str().unwrap().starts_with("127.0.0.1:"), "{name}: {port} is open to the network");
        }
    }
}
