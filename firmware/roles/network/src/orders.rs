//! What the bus asks of the role's loop. It never decides.

use drawbridge_bus::{ChangeId, NetworkStatus, PendingChange};
use drawbridge_settings::FieldError;
use drawbridge_settings::network::NetworkSettings;
use tokio::sync::{mpsc, oneshot};

/// The most orders that wait: the bus has no more connections.
const WAITING_MOST: usize = 32;

/// An order, with the place for its answer.
#[derive(Debug)]
pub(crate) enum Order {
    Status(oneshot::Sender<NetworkStatus>),
    Settings(oneshot::Sender<NetworkSettings>),
    Change(Box<NetworkSettings>, oneshot::Sender<Result<PendingChange, Vec<FieldError>>>),
    Confirm(ChangeId, oneshot::Sender<bool>),
    Revert(ChangeId, oneshot::Sender<bool>),
    /// Nothing of the bridge's may leave, or it may again.
    Bar(bool, oneshot::Sender<bool>),
}

/// The loop's end, and the bus's.
pub(crate) fn channel() -> (Orders, mpsc::Receiver<Order>) {
    let (sender, receiver) = mpsc::channel(WAITING_MOST);
    (Orders(sender), receiver)
}

/// The way to give the loop an order.
#[derive(Clone, Debug)]
pub(crate) struct Orders(mpsc::Sender<Order>);

impl Orders {
    /// Gives an order and waits for the answer; none when the loop has ended.
    pub(crate) async fn give<T>(&self, order: impl FnOnce(oneshot::Sender<T>) -> Order) -> Option<T> {
        let (answer, wait) = oneshot::channel();
        self.0.send(order(answer)).await.ok()?;
        wait.await.ok()
    }
}
