//! `hop`: relays each connection to one fixed place; it never looks into what it relays, and never chooses the place.

mod arguments;
mod relay;

use arguments::{Arguments, Wanted};
use relay::Ended;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// How long the target may take to answer.
const CONNECT: Duration = Duration::from_secs(15);
/// After TERM, connections that are open may go on for so long.
const GRACE: Duration = Duration::from_secs(10);
/// A pause when the kernel has no descriptor or memory for a connection.
const PAUSE: Duration = Duration::from_millis(200);

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = match Arguments::read(lexopt::Parser::from_env()) {
        Ok(Wanted::Help) => {
            print!("{}", arguments::HELP);
            return ExitCode::SUCCESS;
        }
        Ok(Wanted::Run(arguments)) => arguments,
        Err(error) => {
            eprintln!("hop: {error}");
            return ExitCode::from(2);
        }
    };
    match serve(Arc::new(arguments)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => {
            eprintln!("hop: {sentence}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(arguments: Arc<Arguments>) -> Result<(), String> {
    let fault = |error: std::io::Error| format!("signals cannot be received: {error}");
    let mut term = signal(SignalKind::terminate()).map_err(fault)?;
    let mut int = signal(SignalKind::interrupt()).map_err(fault)?;
    let listener = TcpListener::bind(arguments.listen).await.map_err(|error| {
        format!(
            "cannot listen on {}: {error}; choose an address of this host and a port that is free (below 1024 needs root)",
            arguments.listen
        )
    })?;
    let local =
        listener.local_addr().map_or_else(|_| arguments.listen.to_string(), |local| local.to_string());
    eprintln!("hop: {local} leads to {}", arguments.to);
    let room = Arc::new(Semaphore::new(arguments.most));
    let mut running = JoinSet::new();
    loop {
        // Without room nobody is taken in: the kernel's queue holds the next ones, and is bounded itself.
        let next = async {
            let place = Arc::clone(&room).acquire_owned().await;
            (listener.accept().await, place)
        };
        tokio::select! {
            (accepted, place) = next => match (accepted, place) {
                (Ok((stream, peer)), Ok(place)) => {
                    if arguments.allows(peer.ip()) {
                        let arguments = Arc::clone(&arguments);
                        running.spawn(async move {
                            connection(stream, &peer.to_string(), &arguments).await;
                            drop(place);
                        });
                    } else {
                        eprintln!("hop: {peer} is not allowed");
                    }
                }
                (Err(error), _) => {
                    eprintln!("hop: a connection could not be taken: {error}");
                    sleep(PAUSE).await;
                }
                (_, Err(_)) => break,
            },
            Some(_) = running.join_next() => {}
            _ = term.recv() => break,
            _ = int.recv() => break,
        }
    }
    drop(listener);
    eprintln!("hop: ends; {} connections are open", running.len());
    tokio::select! {
        () = async { while running.join_next().await.is_some() {} } => {}
        () = sleep(GRACE) => {}
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
    Ok(())
}

async fn connection(near: TcpStream, peer: &str, arguments: &Arguments) {
    let far = match timeout(CONNECT, TcpStream::connect(&arguments.to)).await {
        Ok(Ok(far)) => far,
        Ok(Err(error)) => return eprintln!("hop: {peer}: {} cannot be reached: {error}", arguments.to),
        Err(_) => return eprintln!("hop: {peer}: {} does not answer", arguments.to),
    };
    // What a person types must not wait for more of it; where that fails, it is slower and no less right.
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    eprintln!("hop: {peer} is connected");
    let (there, back, ended) = relay::relay(near, far, arguments.idle).await;
    match ended {
        Ended::Both => eprintln!("hop: {peer} has ended, {there} bytes there and {back} back"),
        Ended::Idle => eprintln!("hop: {peer} was idle, {there} bytes there and {back} back"),
        Ended::Broken(error) => {
            eprintln!("hop: {peer} has broken off ({error}), {there} bytes there and {back} back");
        }
    }
}
