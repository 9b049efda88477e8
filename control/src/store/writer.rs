//! The one thread that writes: takes commands from a queue, commits as many at once as wait, then answers.
//!
//! One commit is one `fsync`, so under load the cost of durability is shared by every batch that arrived meanwhile. A
//! command that fails is undone alone (savepoint) and does not spoil its neighbours.

use rusqlite::{Connection, Savepoint, Transaction};
use tokio::sync::{mpsc, oneshot};

use super::StoreError;
use super::audit::{self, IncomingEvent};
use super::policy::{self, Revision};

/// What the writer is asked to do, and where to answer.
pub(super) enum Command {
    AppendRevision {
        revision: Box<Revision>,
        reply: Reply<()>,
    },
    /// A small change of another kind, made by [`change`].
    Change(Change),
    RecordEvents {
        node: String,
        boot: String,
        events: Vec<IncomingEvent>,
        reply: Reply<usize>,
    },
}

/// Works on the transaction, and answers how to tell the caller once it is known whether that was committed.
type Change = Box<dyn FnOnce(&mut Transaction<'_>) -> Settle + Send>;
type Settle = Box<dyn FnOnce(bool) + Send>;

type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

/// Answers that wait for the commit.
enum Pending {
    Changed(Settle),
    Revision(Reply<()>, Result<(), StoreError>),
    Recorded(Reply<usize>, Result<usize, StoreError>),
}

/// Commands that wait before their senders wait.
pub(super) const QUEUE_COMMANDS_MAX: usize = 256;
/// Commands of one transaction.
const TRANSACTION_COMMANDS_MAX: usize = 64;
/// Events recorded between two looks at the bound.
const CHECK_EVENTS: usize = 1_000;

/// The writing end of the store.
pub(super) struct Writer {
    connection: Connection,
    audit_events_max: u64,
    /// Events recorded since the bound was last looked at.
    unchecked_events: usize,
}

impl Writer {
    pub(super) fn new(connection: Connection, audit_events_max: u64) -> Self {
        // The bound may be lower than it was when the file was last written.
        Self { connection, audit_events_max, unchecked_events: usize::MAX }
    }

    /// Runs until every sender is gone.
    pub(super) fn run(mut self, mut queue: mpsc::Receiver<Command>) {
        let mut commands = Vec::new();
        while let Some(first) = queue.blocking_recv() {
            commands.push(first);
            while commands.len() < TRANSACTION_COMMANDS_MAX
                && let Ok(command) = queue.try_recv()
            {
                commands.push(command);
            }
            self.commit(&mut commands);
        }
    }

    fn commit(&mut self, commands: &mut Vec<Command>) {
        let mut pending = Vec::with_capacity(commands.len());
        let outcome = self.connection.transaction().and_then(|mut transaction| {
            for command in commands.drain(..) {
                pending.push(apply(&mut transaction, command));
            }
            self.unchecked_events = pending.iter().fold(self.unchecked_events, Pending::count_recorded);
            if self.unchecked_events >= CHECK_EVENTS {
                let removed = audit::remove_oldest(&transaction, self.audit_events_max)?;
                if removed > 0 {
                    tracing::info!(removed, kept = self.audit_events_max, "the oldest audit events are removed");
                }
                // A full pass may have left more to remove.
                self.unchecked_events = if removed < audit::REMOVED_EVENTS_MAX { 0 } else { CHECK_EVENTS };
            }
            transaction.commit()
        });
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
}

fn apply(transaction: &mut Transaction<'_>, command: Command) -> Pending {
    match command {
        Command::AppendRevision { revision, reply } => {
            Pending::Revision(reply, alone(transaction, |savepoint| policy::insert(savepoint, &revision)))
        }
        Command::Change(change) => Pending::Changed(change(transaction)),
        Command::RecordEvents { node, boot, events, reply } => {
            Pending::Recorded(reply, alone(transaction, |savepoint| audit::insert(savepoint, &node, &boot, &events)))
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
            Self::Revision(reply, result) => settle(reply, result, committed),
            Self::Recorded(reply, result) => settle(reply, result, committed),
        }
    }
}
