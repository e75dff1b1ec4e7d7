//! The simulated array as a program: where it listens is said on its command line, all else by orders, a line each, from its
//! input or from a Unix socket.

use drawbridge_lab::array::{Order, OrderSocket};
use drawbridge_lab::{Array, ArrayConfig, LabError, https};
use std::fs;
use std::io::BufRead as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// How the array is to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ArrayOptions {
    pub(crate) listen: SocketAddr,
    pub(crate) names: Vec<String>,
    pub(crate) serial: u32,
    pub(crate) orders: Option<PathBuf>,
    pub(crate) certificate: Option<PathBuf>,
    pub(crate) keep: Option<PathBuf>,
}

/// Runs it until it is killed.
pub(crate) fn run(options: &ArrayOptions) -> Result<(), LabError> {
    let names: Vec<_> = options.names.iter().map(String::as_str).collect();
    let own = names.first().and_then(|name| name.split('.').next()).unwrap_or("array");
    let folder = options.orders.as_deref().and_then(Path::parent).map(Path::to_owned);
    let folder = folder.filter(|folder| folder.is_dir()).unwrap_or_else(std::env::temp_dir);
    let config = ArrayConfig::new(&folder)
        .at(options.listen)
        .names(&names)
        .system(own, u64::from(options.serial))
        .keep(options.keep.as_deref());
    let array = Array::start(&config)?;
    if let Some(path) = &options.certificate {
        fs::write(path, array.certificate_pem()).map_err(LabError::file("write", path))?;
    }
    let socket = options.orders.as_deref().map(OrderSocket::listen).transpose()?;
    println!("ready {} {}", array.address(), https::fingerprint(array.certificate_der()));
    std::thread::scope(|scope| {
        if let Some(socket) = &socket {
            scope.spawn(|| socket.serve(&array));
        }
        // The end of the input is not the array's: who gave it none has the socket, or wants it as it is.
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            let said = Order::parse(&line).map_err(|error| error.to_string());
            match said.and_then(|order| array.obey(order).map_err(|error| error.to_string())) {
                Ok(text) if text.is_empty() => println!("ok"),
                Ok(text) | Err(text) => println!("{text}"),
            }
        }
        loop {
            std::thread::park();
        }
    })
}
