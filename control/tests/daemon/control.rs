//! A daemon under test: started on a state directory, asked, stopped.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

pub(crate) struct Control {
    child: Child,
    pub(crate) directory: Arc<TempDir>,
    base: String,
    /// Where nodes of other machines find it.
    link: Option<SocketAddr>,
    /// What it wrote to standard error so far.
    log: Arc<Mutex<String>>,
}

pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: ureq::http::HeaderMap,
    pub(crate) body: String,
}

/// A policy that inspects one host for one tenant.
pub(crate) fn policy(tenant: &str) -> String {
    format!(
        "[[restriction]]\nname = \"entra\"\nconnector = \"microsoft-entra\"\npermitted_tenants = [\"{tenant}\"]\n\
         context_tenant = \"bbbbcccc-1111-dddd-2222-eeee3333ffff\"\n\n\
         [[profile]]\nname = \"staff\"\nmode = \"enforce\"\nrestrictions = [\"entra\"]\n\n\
         [[assignment]]\nprofile = \"staff\"\nsources = [\"127.0.0.0/8\"]\n"
    )
}

/// Long enough for a busy machine; reached only by a test that fails.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + LIMIT;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

impl Control {
    pub(crate) fn start() -> Self {
        Self::start_in(Arc::new(TempDir::new().unwrap()), "")
    }

    /// `more` is appended to the configuration's first table.
    pub(crate) fn start_in(directory: Arc<TempDir>, more: &str) -> Self {
        Self::try_start_in(directory, more).unwrap_or_else(|output| panic!("{output:?}"))
    }

    pub(crate) fn try_start_in(directory: Arc<TempDir>, more: &str) -> Result<Self, Output> {
        let mut child = command(directory.path(), more).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        if line.is_empty() {
            return Err(child.wait_with_output().unwrap());
        }
        // The log must not block the daemon.
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let log = Arc::new(Mutex::new(String::new()));
        let kept = Arc::clone(&log);
        thread::spawn(move || {
            lines.map_while(Result::ok).for_each(|line| *kept.lock().unwrap() += &format!("{line}\n"))
        });
        let ready: Value = serde_json::from_str(&line).unwrap();
        let base = format!("http://{}", ready["admin"].as_str().unwrap());
        let link = ready["link"].as_str().map(|address| address.parse().unwrap());
        Ok(Self { child, directory, base, link, log })
    }

    pub(crate) fn link(&self) -> SocketAddr {
        self.link.expect("[link] listen")
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.directory.path().join("state")
    }

    pub(crate) fn token(&self) -> String {
        fs::read_to_string(self.state().join("admin.token")).unwrap().trim().to_owned()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    pub(crate) fn ended(&mut self) -> std::process::ExitStatus {
        until("the daemon's end", || self.child.try_wait().unwrap())
    }

    /// As a power cut would: no way to tidy up.
    pub(crate) fn kill(mut self) -> Arc<TempDir> {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        Arc::clone(&self.directory)
    }

    pub(crate) fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        let config = ureq::Agent::config_builder().http_status_as_error(false).proxy(None).timeout_global(Some(LIMIT));
        let config = config.max_redirects(0).max_redirects_will_error(false);
        let agent: ureq::Agent = config.allow_non_standard_methods(true).build().into();
        let mut request = ureq::http::Request::builder().method(method).uri(format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut response = agent.run(request.body(body.to_owned()).unwrap()).unwrap();
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let body = response.body_mut().with_config().limit(1 << 30).read_to_vec().unwrap();
        let body = String::from_utf8_lossy(&body).into_owned();
        Reply { status, headers, body }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The status, where the daemon may be gone meanwhile.
    pub(crate) fn try_put_policy(&self, text: &str) -> Option<u16> {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            .timeout_global(Some(LIMIT))
            .build()
            .into();
        let request = agent.put(format!("{}/api/v1/policy", self.base)).header("Content-Type", "application/toml");
        let reply = request.header("Authorization", format!("Bearer {}", self.token())).send(text);
        reply.ok().map(|reply| reply.status().as_u16())
    }

    /// With the token, below `/api/v1`.
    pub(crate) fn api(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        let bearer = format!("Bearer {}", self.token());
        let mut headers = headers.to_vec();
        headers.push(("Authorization", &bearer));
        self.send(method, &format!("/api/v1{path}"), &headers, body)
    }

    pub(crate) fn get(&self, path: &str) -> Reply {
        self.api("GET", path, &[], "")
    }

    pub(crate) fn put_policy(&self, text: &str) -> Reply {
        self.api("PUT", "/policy?author=test", &[("Content-Type", "application/toml")], text)
    }

    /// The password that the first start told.
    pub(crate) fn first_password(&self) -> String {
        until("the first password", || {
            let log = self.log.lock().unwrap();
            let told = log.split_once("as admin with the password ")?.1;
            told.split_once(' ').map(|(password, _)| password.to_owned())
        })
    }

    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    pub(crate) fn ready(&self) -> bool {
        self.send("GET", "/readyz", &[], "").status == 200
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The daemon's command on a state directory below `directory`.
pub(crate) fn command(directory: &Path, more: &str) -> Command {
    let config = directory.join("control.toml");
    let state = directory.join("state");
    fs::write(&config, format!("listen = \"127.0.0.1:0\"\nstate_directory = {state:?}\n{more}\n")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_penstock-control"));
    command.arg("--config").arg(config).stdin(Stdio::null()).env_remove("JOURNAL_STREAM");
    command
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Checks the form of an error and answers its detail.
    pub(crate) fn problem(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        assert_eq!(self.header("content-type"), "application/problem+json", "{}", self.body);
        let problem = self.json();
        assert_eq!(problem["status"], status);
        assert!(problem["title"].as_str().is_some_and(|title| !title.is_empty()), "{problem}");
        problem
    }
}
