//! The one thread that writes: takes commands from a queue, commits as many at once as wait, then answers.
//!
//! One commit is one `fsync`, so under load the cost of durability is shared by every batch that arrived meanwhile. A
//! command that fails is undone alone (savepoint) and does not spoil its neighbours.

use rusqlite::{Connection, Savepoint, Transaction};
use tokio::sync::{mpsc, oneshot};

use super::audit::IncomingEvent;
use super::retention::SLICE_EVENTS;
use super::sign_in::SignIns;
use super::{Clock, Retention, StoreError, record};

/// What the writer is asked to do, and where to answer.
pub(super) enum Command {
    /// A small change, made by [`change`].
    Change(Change),
    RecordEvents {
        node: String,
        boot: String,
        events: Vec<IncomingEvent>,
        reply: Reply<usize>,
    },
    /// Looks whether events have become too old.
    Tend,
}

/// Works on the transaction, and answers how to tell the caller once it is known whether that was committed.
type Change = Box<dyn FnOnce(&mut Transaction<'_>) -> Settle + Send>;
type Settle = Box<dyn FnOnce(bool) + Send>;

type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

/// Answers that wait for the commit.
enum Pending {
    Changed(Settle),
    None,
    Recorded(Reply<usize>, Result<usize, StoreError>),
}

/// Commands that wait before their senders wait.
pub(super) const QUEUE_COMMANDS_MAX: usize = 256;
/// Commands of one transaction.
const TRANSACTION_COMMANDS_MAX: usize = 64;
/// Events recorded between two looks at the bounds: less than a slice, so that removing keeps pace with recording.
const CHECK_EVENTS: usize = SLICE_EVENTS / 4;

/// The writing end of the store.
pub(super) struct Writer {
    connection: Connection,
    retention: Retention,
    clock: Clock,
    sign_ins: SignIns,
    /// Events recorded since the bounds were last looked at.
    unchecked_events: usize,
}

impl Writer {
    pub(super) fn new(connection: Connection, retention: Retention, clock: Clock) -> Self {
        // The bounds may be lower than they were when the file was last written.
        Self { connection, retention, clock, sign_ins: SignIns::default(), unchecked_events: usize::MAX }
    }

    /// Runs until every sender is gone. What is beyond the bounds is removed while nobody waits, and now and then also while
    /// somebody does, so that no flood keeps it.
    pub(super) fn run(mut self, mut queue: mpsc::Receiver<Command>) {
        let mut commands = Vec::new();
        let mut has_more = false;
        loop {
            let first = if has_more { queue.try_recv().ok() } else { queue.blocking_recv() };
            if first.is_none() && !has_more {
                return;
            }
            commands.extend(first);
            while commands.len() < TRANSACTION_COMMANDS_MAX
                && let Ok(command) = queue.try_recv()
            {
                commands.push(command);
            }
            if !commands.is_empty() {
                self.commit(&mut commands);
            }
            if has_more || self.unchecked_events >= CHECK_EVENTS {
                has_more = self.remove();
            }
        }
    }

    fn commit(&mut self, commands: &mut Vec<Command>) {
        let mut pending = Vec::with_capacity(commands.len());
        let sign_ins = &mut self.sign_ins;
        let outcome = self.connection.transaction().and_then(|mut transaction| {
            for command in commands.drain(..) {
                if matches!(command, Command::Tend) {
                    self.unchecked_events = usize::MAX;
                }
                pending.push(apply(&mut transaction, command, sign_ins));
            }
            transaction.commit()
        });
        self.sign_ins.settle(outcome.is_ok());
        self.unchecked_events = pending.iter().fold(self.unchecked_events, Pending::count_recorded);
        // When the transaction could not even begin, the commands are still there: dropping them drops their reply
        // channels, which the callers read as a stopped store.
        commands.clear();
        if let Err(error) = &outcome {
            tracing::error!(%error, "the store cannot commit");
        }
        for answer in pending {
            answer.send(outcome.is_ok());
        }
    }

    /// Whether there may be more to remove.
    /// Removes as much as came since the last time, and a slice more; whether more is beyond the bounds.
    fn remove(&mut self) -> bool {
        let slices = match std::mem::take(&mut self.unchecked_events) {
            // Nobody knows how many.
            usize::MAX => 1,
            events => events / SLICE_EVENTS + 1,
        };
        (0..slices).all(|_| self.remove_slice())
    }

    fn remove_slice(&mut self) -> bool {
        let now_ms = (self.clock)();
        let removed = self.connection.transaction().and_then(|transaction| {
            let removed = self.retention.remove_slice(&transaction, now_ms)?;
            transaction.commit()?;
            Ok(removed)
        });
        match removed {
            Ok(removed) => {
                if removed > 0 {
                    tracing::debug!(removed, "the oldest audit events are removed");
                }
                removed >= SLICE_EVENTS
            }
            Err(error) => {
                tracing::error!(%error, "old audit events cannot be removed");
                false
            }
        }
    }
}

fn apply(transaction: &mut Transaction<'_>, command: Command, sign_ins: &mut SignIns) -> Pending {
    match command {
        Command::Tend => Pending::None,
        Command::Change(change) => Pending::Changed(change(transaction)),
        Command::RecordEvents { node, boot, events, reply } => {
            let seen = sign_ins.unsettled();
            let recorded = alone(transaction, |savepoint| record::insert(savepoint, (&node, &boot), &events, sign_ins));
            if recorded.is_err() {
                sign_ins.undo(seen);
            }
            Pending::Recorded(reply, recorded)
        }
    }
}

/// A command that runs `work` and answers what it gives.
pub(super) fn change<T: Send + 'static>(
    work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    reply: Reply<T>,
) -> Command {
    Command::Change(Box::new(move |transaction| {
        let result = alone(transaction, |savepoint| work(savepoint));
        Box::new(move |committed| settle(reply, result, committed))
    }))
}

/// Nobody may hear "done" of what was not committed.
fn settle<T>(reply: Reply<T>, result: Result<T, StoreError>, committed: bool) {
    let result = if committed { result } else { result.and(Err(StoreError::NotCommitted)) };
    drop(reply.send(result));
}

/// Runs `work` so that its failure leaves no trace in the transaction.
fn alone<T>(
    transaction: &mut Transaction<'_>,
    work: impl FnOnce(&Savepoint<'_>) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let savepoint = transaction.savepoint()?;
    let value = work(&savepoint)?;
    savepoint.commit()?;
    Ok(value)
}

impl Pending {
    fn count_recorded(sum: usize, pending: &Self) -> usize {
        match pending {
            Self::Recorded(_, Ok(count)) => sum.saturating_add(*count),
            _ => sum,
        }
    }

    fn send(self, committed: bool) {
        match self {
            Self::Changed(settle) => settle(committed),
            Self::None => {}
            Self::Recorded(reply, result) => settle(reply, result, committed),
        }
    }
}
