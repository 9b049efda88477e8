//! The alerts of `deploy/prometheus` in a real Prometheus that scrapes a real appliance: quiet while all is well, firing while a
//! fault is made, over when it is mended. The rules are those of the product but for their patience: each `for:` is a second, so
//! that a test need not wait for minutes.

use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use penstock_tests::appliance::{Appliance, Setup};
use penstock_tests::upstream::Upstream;
use penstock_tests::{place, process, wait};
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

const CLAUDE: &str = "claude.ai";

/// A running Prometheus.
struct Prometheus {
    child: Child,
    base: String,
    agent: ureq::Agent,
    _directory: TempDir,
}

impl Prometheus {
    /// Scrapes the appliance each second and asks the rules as often; `None` where there is none.
    fn scrape(appliance: &Appliance) -> Option<Self> {
        let program = place::program("prometheus")?;
        let directory = TempDir::new().unwrap();
        for name in ["recording.yml", "alerts.yml"] {
            let rules = place::read(place::workspace().join("deploy/prometheus").join(name));
            fs::write(directory.path().join(name), hasty(&rules)).unwrap();
        }
        let target = appliance.admin_address().strip_prefix("http://").unwrap();
        let config = place::read(place::workspace().join("deploy/prometheus/prometheus.yml"));
        assert!(config.contains("127.0.0.1:7080") && config.contains("interval: 15s"), "{config}");
        let config = config.replace("127.0.0.1:7080", target).replace("interval: 15s", "interval: 1s");
        fs::write(directory.path().join("prometheus.yml"), config).unwrap();
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
        let log = fs::File::create(directory.path().join("log")).unwrap();
        let child = Command::new(program)
            .arg(format!("--config.file={}", directory.path().join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", directory.path().join("data").display()))
            .arg(format!("--web.listen-address={free}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let agent = ureq::Agent::config_builder().proxy(None).timeout_global(Some(wait::LIMIT)).build().into();
        Some(Self { child, base: format!("http://{free}/api/v1"), agent, _directory: directory })
    }

    fn get(&self, path: &str) -> Option<Value> {
        let mut reply = self.agent.get(format!("{}{path}", self.base)).call().ok()?;
        serde_json::from_str(&reply.body_mut().read_to_string().ok()?).ok()
    }

    /// The alerts that fire.
    fn firing(&self) -> Option<Vec<String>> {
        let answer = self.get("/alerts")?;
        let alerts = answer["data"]["alerts"].as_array()?.iter().filter(|alert| alert["state"] == "firing");
        Some(alerts.map(|alert| alert["labels"]["alertname"].as_str().unwrap().to_owned()).collect())
    }

    fn await_firing(&self, alert: &str) {
        wait::until(alert, || self.firing()?.iter().any(|firing| firing == alert).then_some(()));
    }

    fn await_over(&self, alert: &str) {
        wait::until(&format!("the end of {alert}"), || {
            (!self.firing()?.iter().any(|firing| firing == alert)).then_some(())
        });
    }

    /// Waits until the rules have looked at what was scraped.
    fn await_looks(&self) {
        let last = || {
            let rules = self.get("/rules?type=alert")?;
            rules["data"]["groups"][0]["rules"][0]["lastEvaluation"].as_str().map(str::to_owned)
        };
        let query = "/query?query=count_over_time(up%7Bjob%3D%22penstock%22%7D%5B1m%5D)";
        let scrapes = || self.get(query)?["data"]["result"][0]["value"][1].as_str()?.parse::<u32>().ok();
        wait::until("three scrapes", || scrapes().filter(|count| *count >= 3));
        let before = last();
        wait::until("the rules' next look", || (last() != before).then_some(()));
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `proc_pid_stat(5)`, field 4.
fn parent(id: u32) -> u32 {
    let stat = place::read(format!("/proc/{id}/stat"));
    stat.rsplit(") ").next().unwrap().split(' ').nth(1).unwrap().parse().unwrap()
}

/// The rules with a second's patience each; what they ask stays as it is.
fn hasty(rules: &str) -> String {
    let lines = rules.lines().map(|line| match line.split_once("for: ") {
        Some((indent, _)) if indent.trim().is_empty() => format!("{indent}for: 1s\n"),
        _ => format!("{line}\n"),
    });
    lines.collect()
}

#[test]
fn alerts_fire_in_a_real_prometheus_while_the_fault_lasts() {
    let upstream = Upstream::plan().start();
    let limits = "[limits]\nflows_per_source_max = 2\n";
    let appliance = Setup::default().upstream(&upstream).dataplane(limits).shards(1).start();
    let Some(prometheus) = Prometheus::scrape(&appliance) else { return };
    assert_eq!(appliance.client(CLAUDE).get(CLAUDE, "/").status, 200);
    prometheus.await_looks();
    assert_eq!(prometheus.firing().unwrap(), Vec::<String>::new(), "all is well");
    // Control hangs: it takes connections and answers none.
    let control = appliance.running("control").unwrap();
    process::signal(control, Signal::STOP);
    prometheus.await_firing("PenstockControlDown");
    process::signal(control, Signal::CONT);
    prometheus.await_over("PenstockControlDown");
    // One source holds more flows than its share.
    let held: Vec<TcpStream> = (0..2).map(|_| TcpStream::connect(appliance.proxy()).unwrap()).collect();
    wait::until("PenstockFlowLimit", || {
        drop(TcpStream::connect(appliance.proxy()));
        prometheus.firing()?.contains(&"PenstockFlowLimit".to_owned()).then_some(())
    });
    drop(held);
    // The data plane dies, and nobody starts it again.
    let dataplane = appliance.running("dataplane").unwrap();
    let supervisor = parent(dataplane);
    process::signal(supervisor, Signal::STOP);
    process::signal(dataplane, Signal::KILL);
    prometheus.await_firing("PenstockLinkDown");
    process::signal(supervisor, Signal::CONT);
    prometheus.await_over("PenstockLinkDown");
    wait::until("the next data plane", || appliance.running("dataplane").filter(|pid| *pid != dataplane));
}
