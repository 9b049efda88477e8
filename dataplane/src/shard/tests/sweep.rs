//! Plays many seeds on a few threads, and names those that fail or do not end.
//!
//! Each seed has a thread with its name, which the message of a panic shows. A thread that does not end is left behind:
//! the test fails and the process ends without it.

use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::time::Duration;

/// Plays `seeds` and gives what became of each, in the order of their ends. `SIMULATION_SEED=17` plays that one alone.
pub(super) fn sweep<T, P>(seeds: u64, play: P) -> Vec<T>
where
    T: Send + 'static,
    P: Fn(u64) -> T + Send + Sync + 'static,
{
    let play = Arc::new(play);
    let (ended, ends) = mpsc::channel();
    let mut waiting: Vec<u64> = match std::env::var("SIMULATION_SEED") {
        Ok(seed) => vec![seed.parse().expect("SIMULATION_SEED is a number")],
        Err(_) => (0..seeds).rev().collect(),
    };
    let (mut playing, mut outcomes) = (Vec::new(), Vec::new());
    loop {
        while playing.len() < THREADS
            && let Some(seed) = waiting.pop()
        {
            spawn(seed, Arc::clone(&play), ended.clone());
            playing.push(seed);
        }
        if playing.is_empty() {
            return outcomes;
        }
        match ends.recv_timeout(PATIENCE) {
            Ok((seed, Some(outcome))) => {
                playing.retain(|other| *other != seed);
                outcomes.push(outcome);
            }
            Ok((seed, None)) => panic!("SIMULATION_SEED={seed} fails, as its thread says above"),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                panic!("none of the seeds {playing:?} ends: play each with SIMULATION_SEED")
            }
        }
    }
}

fn spawn<T, P>(seed: u64, play: Arc<P>, ended: Sender<(u64, Option<T>)>)
where
    T: Send + 'static,
    P: Fn(u64) -> T + Send + Sync + 'static,
{
    let thread = std::thread::Builder::new().name(format!("seed {seed}"));
    let body = move || {
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| play(seed)));
        let _ = ended.send((seed, outcome.ok()));
    };
    thread.spawn(body).expect("a thread");
}

const THREADS: usize = 4;
/// For four seeds of which none ends. A seed that stands still ends itself long before (see `world::wait`).
const PATIENCE: Duration = Duration::from_secs(60);
