//! Whose handshake is computed next: one at a time, and each source in its turn. It never computes one.
//!
//! A handshake costs a signature and a key exchange, which is what a stranger can make the appliance do. Whoever asks for
//! a hundred at once waits for his own: another source's comes after one of them.

use crate::places::source;
use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

/// The turns.
#[derive(Clone, Debug, Default)]
pub(crate) struct Turns(Arc<Mutex<Queue>>);

#[derive(Debug, Default)]
struct Queue {
    taken: bool,
    /// The sources that wait, whose turn is first at the front.
    order: VecDeque<IpAddr>,
    waiting: HashMap<IpAddr, VecDeque<oneshot::Sender<Turn>>>,
}

/// A turn, until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn(Turns);

impl Turns {
    /// Waits for a turn. Who no longer waits loses nothing for the others.
    pub(crate) async fn take(&self, address: IpAddr) -> Turn {
        let waiting = {
            let mut queue = self.queue();
            if !queue.taken {
                queue.taken = true;
                return Turn(self.clone());
            }
            let (sender, receiver) = oneshot::channel();
            let source = source(address);
            if !queue.waiting.contains_key(&source) {
                queue.order.push_back(source);
            }
            queue.waiting.entry(source).or_default().push_back(sender);
            receiver
        };
        match waiting.await {
            Ok(turn) => turn,
            // Not reached: the queue lives as long as this does, and its senders are used before they are dropped.
            Err(_) => Turn(self.clone()),
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        // What a panic elsewhere left behind is a queue like any other.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    /// The next that waits, one of each source in turn.
    fn next(&mut self) -> Option<oneshot::Sender<Turn>> {
        while let Some(source) = self.order.pop_front() {
            let Some(own) = self.waiting.get_mut(&source) else { continue };
            let next = std::iter::from_fn(|| own.pop_front()).find(|sender| !sender.is_closed());
            own.retain(|sender| !sender.is_closed());
            if own.is_empty() {
                self.waiting.remove(&source);
            } else {
                self.order.push_back(source);
            }
            if next.is_some() {
                return next;
            }
        }
        None
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let next = {
            let mut queue = self.0.queue();
            let next = queue.next();
            queue.taken = next.is_some();
            next
        };
        if let Some(next) = next {
            // Whoever has gone in this very moment drops the turn, and the one after comes on.
            let _ = next.send(Self(self.0.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;
    use tokio::sync::mpsc;

    fn host(number: u8) -> IpAddr {
        IpAddr::V4(Ipv4Addr::new(10, 0, 0, number))
    }

    #[tokio::test]
    async fn one_source_that_wants_a_hundred_turns_is_one_turn_ahead_of_another() {
        let turns = Turns::default();
        let first = turns.take(host(1)).await;
        let (sender, mut receiver) = mpsc::unbounded_channel();
        for number in [[1; 100].as_slice(), &[2], &[3]].concat() {
            let (turns, sender) = (turns.clone(), sender.clone());
            tokio::spawn(async move {
                let _turn = turns.take(host(number)).await;
                sender.send(number).unwrap();
            });
            tokio::task::yield_now().await;
        }
        drop((first, sender));
        let mut order = Vec::new();
        while let Some(number) = receiver.recv().await {
            order.push(number);
        }
        assert_eq!(order.len(), 102);
        assert_eq!(order[..4], [1, 2, 3, 1]);
        // All is as it was.
        let _ = turns.take(host(9)).await;
    }

    #[tokio::test]
    async fn whoever_goes_while_he_waits_holds_nobody_up() {
        let turns = Turns::default();
        let first = turns.take(host(1)).await;
        let gone = tokio::spawn({
            let turns = turns.clone();
            async move { drop(turns.take(host(2)).await) }
        });
        tokio::task::yield_now().await;
        let stays = tokio::spawn({
            let turns = turns.clone();
            async move { drop(turns.take(host(3)).await) }
        });
        tokio::task::yield_now().await;
        gone.abort();
        let _ = gone.await;
        drop(first);
        stays.await.unwrap();
        assert!(turns.queue().waiting.is_empty() && turns.queue().order.is_empty());
    }
}
