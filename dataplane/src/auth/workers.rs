//! The threads that verify passwords, and the queue before them.

use std::io;
use std::sync::Arc;
use std::thread;

use argon2::Argon2;
use argon2::password_hash::{PasswordHash, PasswordHasher as _, PasswordVerifier as _, SaltString};
use crossbeam::channel::{Receiver, Sender, bounded};
use penstock_core::limits;
use penstock_core::proxy::Basic;
use tokio::sync::watch;

use super::directory::{Directory, Who};

/// A handle on the queue; clones share it. The threads end with the last one.
#[derive(Clone)]
pub(crate) struct Workers {
    queue: Sender<Job>,
    pub(super) directory: Arc<Directory>,
}

/// What a worker found out.
#[derive(Clone, Debug)]
pub(super) enum Outcome {
    Right(Arc<Who>),
    Wrong,
}

/// Where the outcome stands when it is there.
pub(super) type Answer = watch::Receiver<Option<Outcome>>;

struct Job {
    basic: Basic,
    answer: watch::Sender<Option<Outcome>>,
}

impl Workers {
    /// Starts the threads.
    pub(crate) fn start(directory: Arc<Directory>) -> io::Result<Self> {
        let (queue, jobs) = bounded(limits::AUTH_QUEUE_MAX);
        let decoy: Arc<str> = decoy()?.into();
        for number in 0..limits::AUTH_WORKERS {
            let (jobs, directory, decoy) = (jobs.clone(), Arc::clone(&directory), Arc::clone(&decoy));
            let builder = thread::Builder::new().name(format!("penstock-auth-{number}"));
            builder.spawn(move || work(&jobs, &directory, &decoy))?;
        }
        Ok(Self { queue, directory })
    }

    /// Asks for a verification; `None` when too many wait.
    pub(super) fn ask(&self, basic: &Basic) -> Option<Answer> {
        let (answer, receiver) = watch::channel(None);
        self.queue.try_send(Job { basic: basic.clone(), answer }).ok().map(|()| receiver)
    }
}

fn work(jobs: &Receiver<Job>, directory: &Directory, decoy: &str) {
    for job in jobs {
        // Those who asked have gone away.
        if job.answer.is_closed() {
            continue;
        }
        let users = directory.users();
        let found = users.find(job.basic.user());
        // A user who does not exist takes as long as one who does.
        let hash = found.map_or(decoy, |(hash, _)| hash);
        let is_right = PasswordHash::new(hash)
            .is_ok_and(|hash| Argon2::default().verify_password(job.basic.password().as_bytes(), &hash).is_ok());
        let outcome = match found {
            Some((_, who)) if is_right => Outcome::Right(Arc::clone(who)),
            Some(_) | None => Outcome::Wrong,
        };
        job.answer.send_replace(Some(outcome));
    }
}

/// The hash of a password that nobody knows.
fn decoy() -> io::Result<String> {
    let mut random = [0; 48];
    getrandom::fill(&mut random).map_err(|error| io::Error::other(error.to_string()))?;
    let (password, salt) = random.split_at(32);
    let salt = SaltString::encode_b64(salt).map_err(|error| io::Error::other(error.to_string()))?;
    let hash = Argon2::default().hash_password(password, &salt);
    hash.map(|hash| hash.to_string()).map_err(|error| io::Error::other(error.to_string()))
}
