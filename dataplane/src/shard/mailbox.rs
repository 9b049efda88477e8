//! A shard's mailbox: how the background thread speaks to a shard's thread.
//!
//! A bounded queue and a wake-up. The shard's end works on any single-threaded runtime of Tokio's tasks, the ring's
//! among them, and waits without a system call of its own.

use std::sync::Arc;

use crossbeam::channel::{Receiver, Sender, TryRecvError, bounded};
use penstock_core::limits::MAILBOX_MESSAGES_MAX;
use penstock_core::policy::Snapshot;
use tokio::sync::{Notify, oneshot};

use crate::tls::Issuer;

/// What control published and every shard uses: a flow keeps the one that it started with.
pub(crate) struct Installed {
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) issuer: Arc<Issuer>,
}

/// What a shard is told.
pub(crate) enum Message {
    /// Stop accepting, finish what is open.
    Drain,
    /// Use this from the next flow on, then acknowledge.
    Install(Arc<Installed>, InstallAck),
}

/// A shard's word that it uses a snapshot. Dropped without [`Self::installed`], it says that the shard did not.
#[must_use = "the sender waits for it"]
pub(crate) struct InstallAck(oneshot::Sender<()>);

impl InstallAck {
    /// The snapshot and its issuer are in use.
    pub(crate) fn installed(self) {
        // When nobody waits any more, the deadline has passed and control was told so.
        let _waiting = self.0.send(());
    }
}

/// The end that tells; clones speak to the same shard.
#[derive(Clone)]
pub(crate) struct MailboxSender {
    messages: Sender<Message>,
    /// Dropped after `messages`, so that the receiver finds the queue closed when the last sender goes.
    bell: Bell,
}

/// Wakes the receiver; also by going away.
#[derive(Clone)]
struct Bell(Arc<Notify>);

impl Drop for Bell {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

/// The end that the shard listens on.
pub(crate) struct MailboxReceiver {
    messages: Receiver<Message>,
    bell: Arc<Notify>,
}

/// Makes mailboxes.
pub(crate) struct Mailbox;

impl Mailbox {
    pub(crate) fn channel() -> (MailboxSender, MailboxReceiver) {
        let (sender, receiver) = bounded(MAILBOX_MESSAGES_MAX);
        let bell = Arc::new(Notify::new());
        (
            MailboxSender { messages: sender, bell: Bell(Arc::clone(&bell)) },
            MailboxReceiver { messages: receiver, bell },
        )
    }
}

impl MailboxSender {
    /// Puts a message into the mailbox; gives it back when the mailbox is full or the shard has ended.
    pub(crate) fn send(&self, message: Message) -> Result<(), Message> {
        self.messages.try_send(message).map_err(|refused| refused.into_inner())?;
        self.bell.0.notify_one();
        Ok(())
    }

    /// Tells the shard to use `installed`. What is returned resolves when it does, and fails when it will not; `None`
    /// when the shard cannot be told.
    pub(crate) fn install(&self, installed: Arc<Installed>) -> Option<oneshot::Receiver<()>> {
        let (ack, acknowledged) = oneshot::channel();
        self.send(Message::Install(installed, InstallAck(ack))).is_ok().then_some(acknowledged)
    }
}

impl MailboxReceiver {
    /// The next message, as soon as there is one; `None` when nobody is left to send any. Dropping the future loses
    /// nothing.
    pub(crate) async fn receive(&self) -> Option<Message> {
        loop {
            match self.messages.try_recv() {
                Ok(message) => return Some(message),
                Err(TryRecvError::Disconnected) => return None,
                // A bell that rang since the look above is remembered: `notified` then returns at once.
                Err(TryRecvError::Empty) => self.bell.notified().await,
            }
        }
    }
}
