//! What session is told, in order. It never decides what.

use crate::bus::Asker;
use drawbridge_bus::bridge::{Link, TunnelJob, TunnelNews, TunnelOrders};
use drawbridge_bus::client::{CallError, Client};
use drawbridge_bus::{Refusal, Reply, Request, Role};
use tokio::sync::mpsc;

/// News that wait for session. Whoever has more to tell waits.
const WAITING_MOST: usize = 64;

/// Takes news. When all of these are gone, there is nothing more to tell.
#[derive(Clone, Debug)]
pub(crate) struct News(mpsc::Sender<TunnelNews>);

impl News {
    /// Tells. When nobody is there to be told, the role is about to end.
    pub(crate) async fn tell(&self, news: TunnelNews) {
        let _ = self.0.send(news).await;
    }

    /// Tells where the control connection stands.
    pub(crate) async fn link(&self, link: Link) {
        self.tell(TunnelNews::Link(link)).await;
    }
}

/// News on their way to session.
pub(crate) struct Delivery {
    asker: Asker,
    session: Client,
    job: TunnelJob,
    waiting: mpsc::Receiver<TunnelNews>,
}

impl Delivery {
    /// News for the session role at the other end of this connection, which has given this job.
    pub(crate) fn new(asker: Asker, session: Client, job: TunnelJob) -> (News, Self) {
        let (sender, waiting) = mpsc::channel(WAITING_MOST);
        (News(sender), Self { asker, session, job, waiting })
    }

    /// Delivers until there is nothing more to tell. Fails when session is lost, or does not want this job done any more.
    pub(crate) async fn run(mut self) -> Result<(), CallError> {
        loop {
            let news = tokio::select! {
                news = self.waiting.recv() => news,
                // It says nothing unasked: what comes is its end.
                event = self.session.event() => {
                    if event.is_err() {
                        self.again().await?;
                    }
                    continue;
                }
            };
            let Some(news) = news else { return Ok(()) };
            let request = Request::TunnelNews(Box::new(news));
            match self.session.call(request.clone()).await {
                Ok(_) => {}
                Err(CallError::Refused(_, why)) => return Err(CallError::Refused(Role::Session, why)),
                Err(_) => {
                    self.again().await?;
                    self.session.call(request).await?;
                }
            }
        }
    }

    /// A session role that was started anew has forgotten the grant, and then this process must not outlive it.
    async fn again(&mut self) -> Result<(), CallError> {
        let (client, orders) = orders(&self.asker).await?;
        if orders.job != self.job {
            return Err(CallError::Refused(Role::Session, Refusal::NotNow));
        }
        self.session = client;
        Ok(())
    }
}

/// What the tunnel is to do, by session's word, and the connection on which it said so.
pub(crate) async fn orders(asker: &Asker) -> Result<(Client, Box<TunnelOrders>), CallError> {
    let mut session = asker.connect(Role::Session).await?;
    match session.call(Request::TunnelOrders).await? {
        Reply::TunnelOrders(orders) => Ok((session, orders)),
        _ => Err(CallError::Refused(Role::Session, Refusal::NotMine)),
    }
}
