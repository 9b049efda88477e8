//! Every call of the admin API is made by some command.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::Value;

use crate::daemon::Control;
use crate::{ends_with, stdout};

/// Stands between command and daemon, and keeps what commands say.
struct Relay {
    base: String,
    heard: Arc<Mutex<Vec<u8>>>,
}

impl Relay {
    fn before(daemon: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let (heard, daemon) = (Arc::new(Mutex::new(Vec::new())), daemon.trim_start_matches("http://").to_owned());
        let kept = Arc::clone(&heard);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let server = TcpStream::connect(&daemon).unwrap();
                let (from, to, kept) = (client.try_clone().unwrap(), server.try_clone().unwrap(), Arc::clone(&kept));
                thread::spawn(move || {
                    pass(from, to, |bytes| {
                        let mut kept = kept.lock().unwrap();
                        kept.push(b'\n');
                        kept.extend_from_slice(bytes);
                    })
                });
                thread::spawn(move || pass(server, client, |_| ()));
            }
        });
        Self { base, heard }
    }

    /// What was asked for, each as `METHOD /path`. A request begins a line, since a command waits for the answer to the last.
    fn requests(&self) -> Vec<String> {
        let heard = self.heard.lock().unwrap();
        let lines = heard.split(|byte| *byte == b'\n').map(|line| String::from_utf8_lossy(line).trim().to_owned());
        let requests = lines.filter_map(|line| Some(line.strip_suffix(" HTTP/1.1")?.to_owned()));
        requests.map(|request| request.split('?').next().unwrap().replacen("/api/v1", "", 1)).collect()
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, mut hear: impl FnMut(&[u8])) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        hear(&buffer[..count]);
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

struct Operator {
    control: Control,
    relay: Relay,
}

impl Operator {
    /// Runs a command that must do well, with `input` on its standard input.
    fn run_with(&self, arguments: &[&str], input: &str) -> Output {
        let output = self.try_run(arguments, input);
        ends_with(&output, 0);
        output
    }

    fn run(&self, arguments: &[&str]) -> String {
        stdout(&self.run_with(arguments, "")).to_owned()
    }

    fn try_run(&self, arguments: &[&str], input: &str) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_penstock"));
        command.args(arguments).args(["--admin", &self.relay.base, "--token-file"]).arg(self.control.token_file());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }

    fn works_on_policies(&self) {
        let one = self.control.policy("one.toml", &["a.example"]);
        let two = self.control.policy("two.toml", &["b.example"]);
        self.run(&["policy", "apply", &one]);
        assert_eq!(self.run(&["policy", "show"]), std::fs::read_to_string(&one).unwrap());
        let shown: Value = serde_json::from_str(&self.run(&["policy", "show", "1", "--json"])).unwrap();
        assert_eq!(shown["policy"]["deny"]["hosts"][0], "a.example", "{shown}");
        assert!(self.run(&["policy", "check", &two, "--daemon"]).contains("two.toml: ok for the daemon"));
        let bad = self.control.policy("bad.toml", &["*"]);
        let output = self.try_run(&["policy", "check", &bad, "--daemon", "--json"], "");
        ends_with(&output, 1);
        let refused: Value = serde_json::from_str(stdout(&output)).unwrap();
        assert_eq!((refused["valid"].as_bool(), refused["diagnostics"][0]["line"].as_u64()), (Some(false), Some(2)));
        assert!(self.run(&["policy", "diff", &two]).contains("+hosts = [\"b.example\"]"));
        self.run(&["policy", "forecast"]);
        self.run(&["policy", "history"]);
        self.run(&["policy", "rollout"]);
        ends_with(&self.try_run(&["policy", "rollout", "halt"], ""), 1);
        self.run(&["policy", "apply", &two]);
        self.run(&["policy", "rollback", "1"]);
        self.run(&["explain", "--sni", "a.example"]);
        let exempt = self.control.directory().join("exempt.toml");
        std::fs::write(&exempt, EXEMPT).unwrap();
        self.run(&["policy", "apply", exempt.to_str().unwrap()]);
        let exceptions = self.run(&["policy", "exceptions"]);
        assert!(exceptions.contains("alice") && exceptions.contains("the audit of March"), "{exceptions}");
    }

    fn reads_what_there_is(&self) {
        for words in ["ca show", "events", "exports", "report", "report --denials-by tenant", "trail", "node list"] {
            self.run(&words.split(' ').collect::<Vec<_>>());
        }
        for words in [&["catalogue", "list"][..], &["catalogue", "show", "slack"], &["catalogue", "list", "--json"]] {
            let built_in = self.run(words);
            assert!(built_in.contains("slack"), "{built_in}");
            assert_eq!(self.run(&[words, &["--daemon"]].concat()), built_in, "both are of one version");
        }
        assert!(self.run(&["openapi"]).starts_with("{\"openapi\":\"3."));
    }

    fn lets_people_and_machines_in(&self) {
        self.run_with(&["user", "add", "alice", "--role", "viewer"], "correct horse battery");
        self.run(&["user", "role", "alice", "operator"]);
        assert!(self.run(&["user", "list"]).contains("alice"));
        let known = self.run_with(&["whoami", "--user", "alice"], "correct horse battery\n");
        assert!(stdout(&known).starts_with("alice, role operator: account, change_policy,"), "{}", stdout(&known));
        self.run_with(&["user", "password", "alice", "--own"], "correct horse battery\nstaple staple staple\n");
        ends_with(&self.try_run(&["whoami", "--user", "alice"], "correct horse battery"), 1);
        self.run_with(&["whoami", "--user", "alice", "--json"], "staple staple staple");
        self.run_with(&["user", "password", "alice"], "once more a new one");
        self.run(&["user", "remove", "alice"]);
        assert!(self.run(&["whoami"]).starts_with("token:file, role admin: "));
        let made: Value = serde_json::from_str(&self.run(&["token", "create", "--role", "viewer", "--json"])).unwrap();
        let id = made["id"].as_str().unwrap();
        assert!(self.run(&["token", "list"]).contains(id));
        self.run(&["token", "revoke", id]);
        self.run(&["node", "token", "--name", "edge-1"]);
        ends_with(&self.try_run(&["node", "revoke", "edge-1"], ""), 1);
        self.run(&["node", "authority"]);
        self.run(&["node", "authority", "--rotate"]);
        self.run(&["ca", "rotate"]);
    }
}

/// A policy with an exception that is over.
const EXEMPT: &str = "\
[[restriction]]
name = \"entra\"
connector = \"microsoft-entra\"
permitted_tenants = [\"contoso.com\"]
context_tenant = \"bbbbcccc-1111-dddd-2222-eeee3333ffff\"

[[exception]]
who = [\"alice\"]
why = \"the audit of March\"
until = \"2020-03-31\"
restrictions = [\"entra\"]

[[profile]]
name = \"staff\"
mode = \"enforce\"
restrictions = [\"entra\"]

[[assignment]]
profile = \"staff\"
sources = [\"127.0.0.0/8\"]
";

#[test]
fn every_call_of_the_admin_api_is_made_by_some_command() {
    let control = Control::start_with("[link]\nlisten = \"127.0.0.1:0\"\n");
    let relay = Relay::before(control.base());
    let operator = Operator { control, relay };
    operator.works_on_policies();
    operator.reads_what_there_is();
    operator.lets_people_and_machines_in();
    let described: Value = serde_json::from_str(&operator.run(&["openapi"])).unwrap();
    let made = operator.relay.requests();
    let mut missing = BTreeSet::new();
    for (path, operations) in described["paths"].as_object().unwrap() {
        for method in operations.as_object().unwrap().keys() {
            let call = format!("{} {path}", method.to_uppercase());
            if !made.iter().any(|request| is_of(request, &call)) {
                missing.insert(call);
            }
        }
    }
    assert!(missing.is_empty(), "no command makes {missing:?}; made: {made:?}");
}

/// Whether a request is of a described call, in which `{id}` stands for one segment.
fn is_of(request: &str, call: &str) -> bool {
    let (mut asked, mut described) = (request.split('/'), call.split('/'));
    loop {
        match (asked.next(), described.next()) {
            (None, None) => return true,
            (Some(_), Some("{id}")) => {}
            (Some(one), Some(other)) if one == other => {}
            _ => return false,
        }
    }
}
