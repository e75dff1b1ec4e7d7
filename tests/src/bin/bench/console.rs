//! What the console costs: processor time for a handshake and for a request, and memory for a connection, beside nginx with
//! the same key, the same certificate and the same page. Both run on this host, in the build that is shipped.

use crate::error::{BenchError, Result};
use crate::figures::{amounts, beside, goal, print, ratio};
use crate::report;
use crate::tool;
use crate::web::{Client, get};
use drawbridge_lab::process::Process;
use drawbridge_lab::{Lab, LabError};
use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// So many handshakes and requests are measured. The kernel counts in hundredths of a second.
const HANDSHAKES: u32 = 2_000;
const REQUESTS: u32 = 30_000;
/// So many on one connection. nginx ends a connection after a thousand.
const A_CONNECTION: u32 = 900;
/// So many connections are held for their memory: 24 from each of 6 addresses.
const HELD: (u8, u8) = (6, 24);
/// Rounds of both, in turn. The median of each counts.
const ROUNDS: usize = 3;

/// What ours may cost, in times of nginx's.
const HANDSHAKE_GOAL: f64 = 0.6;
const REQUEST_GOAL: f64 = 0.7;

/// The page. Ours has it embedded.
const PAGE: &str = "/app.css";

/// A link of everything in one piece takes long.
const BUILD_WITHIN: Duration = Duration::from_mins(30);
const START_WITHIN: Duration = Duration::from_secs(30);

struct Server {
    name: &'static str,
    process: u32,
    port: u16,
    /// What holds it.
    _life: Process,
}

struct Cost {
    handshake: Duration,
    request: Duration,
}

/// Measures, and prints.
pub(crate) fn measure() -> Result<()> {
    let lab = Lab::new("bench console");
    let client = Client::new().map_err(|error| BenchError::Web("the client", error.to_string()))?;
    let (ours, data) = console(&lab)?;
    let peer = nginx(&lab, &client, &ours, &data);
    if let Err(why) = &peer {
        report::no_peer("nginx", why);
    }
    let mut servers = vec![ours];
    servers.extend(peer);
    let mut costs: Vec<Vec<Cost>> = servers.iter().map(|_| Vec::new()).collect();
    for _ in 0..ROUNDS {
        for (server, costs) in servers.iter().zip(&mut costs) {
            costs.push(cost(server, &client)?);
        }
    }
    for (name, limit, of) in [
        ("processor time of a handshake", HANDSHAKE_GOAL, (|cost| cost.handshake) as fn(&Cost) -> Duration),
        ("processor time of a request", REQUEST_GOAL, |cost| cost.request),
    ] {
        let mut medians = costs.iter().map(|costs| median(costs, of));
        let own = medians.next().unwrap_or_default();
        let remarks = medians.next().map_or_else(Vec::new, |theirs| {
            let times = ratio(own, theirs);
            vec![
                beside("nginx", format!("{theirs:.1?}"), times),
                goal(format!("ratio {limit}"), times <= limit),
            ]
        });
        print(name, format!("{own:.1?}"), &remarks);
    }
    let held: Vec<u64> = servers.iter().map(|server| held(server, &client)).collect::<Result<_>>()?;
    let says = |bytes: u64| format!("{} kB", bytes / 1000);
    let own = held.first().copied().unwrap_or_default();
    let remarks: Vec<String> =
        held.iter().skip(1).map(|theirs| beside("nginx", says(*theirs), amounts(own, *theirs))).collect();
    print("memory of a connection that was answered", says(own), &remarks);
    let whole = Process::resident_memory_of(servers[0].process)?;
    print("memory of the console behind that", crate::figures::mebibytes(whole), &[]);
    Ok(())
}

fn median(costs: &[Cost], of: fn(&Cost) -> Duration) -> Duration {
    crate::figures::Spread::of(costs.iter().map(of)).median()
}

fn cost(server: &Server, client: &Client) -> Result<Cost> {
    let failed = |error: std::io::Error| BenchError::Web(server.name, error.to_string());
    let used = || Process::cpu_time_of(server.process);
    let begin = used()?;
    for number in 0..HANDSHAKES {
        // In turn, so that nobody's places are full.
        let from = u8::try_from(number % 200).unwrap_or_default() + 1;
        drop(client.connect(server.port, from).map_err(failed)?);
    }
    let between = used()?;
    let mut done = 0;
    while done < REQUESTS {
        let mut connection = client.connect(server.port, 1).map_err(failed)?;
        for _ in 0..A_CONNECTION.min(REQUESTS - done) {
            get(&mut connection, PAGE).map_err(failed)?;
            done += 1;
        }
    }
    let end = used()?;
    // The handshakes of these are few, and in both servers' figures.
    Ok(Cost {
        handshake: between.saturating_sub(begin) / HANDSHAKES,
        request: end.saturating_sub(between) / REQUESTS,
    })
}

/// The memory that a connection takes which has been answered and waits.
fn held(server: &Server, client: &Client) -> Result<u64> {
    let failed = |error: std::io::Error| BenchError::Web(server.name, error.to_string());
    let before = Process::resident_memory_of(server.process)?;
    let mut connections = Vec::new();
    for from in (1..=HELD.0).flat_map(|from| std::iter::repeat_n(from, HELD.1.into())) {
        let mut connection = client.connect(server.port, from + 100).map_err(failed)?;
        get(&mut connection, PAGE).map_err(failed)?;
        connections.push(connection);
    }
    let after = Process::resident_memory_of(server.process)?;
    Ok(after.saturating_sub(before) / connections.len() as u64)
}

/// Ours, in the build that is shipped, with the folder of its key and certificate.
fn console(lab: &Lab) -> Result<(Server, std::path::PathBuf)> {
    let built = tool::text(env!("CARGO"), "builds the console as it is shipped", BUILD_WITHIN, |command| {
        let arguments =
            ["build", "--locked", "--release", "--package", "drawbridge-console", "--example", "alone"];
        command.args(arguments).args(["--message-format", "json", "--manifest-path"]).arg(MANIFEST)
    })?;
    let program = built
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|message| message["target"]["name"] == "alone")
        .find_map(|message| message["executable"].as_str().map(str::to_owned))
        .ok_or_else(|| BenchError::Web("the console", "cargo does not say what it has built".to_owned()))?;
    let said = lab.file("console.said");
    let output = File::create(&said).map_err(BenchError::file("make", &said))?;
    let mut command = Command::new(program);
    command.env("TMPDIR", lab.folder()).stdin(Stdio::null()).stdout(output).stderr(Stdio::null());
    let life = Process::start(command, Vec::new())?;
    let begin = Instant::now();
    loop {
        let text = std::fs::read_to_string(&said).map_err(BenchError::file("read", &said))?;
        if let Some((process, rest)) = text.strip_suffix('\n').and_then(|line| line.split_once(' '))
            && let Some((port, data)) = rest.split_once(' ')
            && let (Ok(process), Ok(port)) = (process.parse(), port.parse())
        {
            return Ok((Server { name: "the console", process, port, _life: life }, data.into()));
        }
        if begin.elapsed() > START_WITHIN {
            return Err(BenchError::Web("the console", "it does not say where it is".to_owned()));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

const MANIFEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml");

/// nginx in one process, with our key and the page as ours serves it.
fn nginx(lab: &Lab, client: &Client, ours: &Server, data: &Path) -> Result<Server> {
    let failed = |error: std::io::Error| BenchError::Web("nginx", error.to_string());
    let page = client.connect(ours.port, 1).and_then(|mut stream| get(&mut stream, PAGE)).map_err(failed)?;
    let root = lab.file("nginx");
    std::fs::create_dir(&root).map_err(BenchError::file("make", &root))?;
    let write = |name: &str, content: &[u8]| {
        let path = root.join(name);
        std::fs::write(&path, content).map_err(BenchError::file("write", &path))
    };
    write("app.css", &page)?;
    let port =
        std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).map_err(failed)?.port();
    let (root_at, data) = (root.display(), data.display());
    let configuration = format!(
        "daemon off; master_process off; worker_processes 1; pid {root_at}/pid; error_log stderr;
         events {{ worker_connections 1024; }}
         http {{
           types {{ text/css css; }} access_log off; tcp_nodelay on; open_file_cache max=10;
           client_body_temp_path {root_at}/1; proxy_temp_path {root_at}/2; fastcgi_temp_path {root_at}/3;
           uwsgi_temp_path {root_at}/4; scgi_temp_path {root_at}/5;
           server {{
             listen 127.0.0.1:{port} ssl backlog=1024; root {root_at};
             ssl_certificate {data}/cert.pem; ssl_certificate_key {data}/key.pem;
             ssl_protocols TLSv1.2 TLSv1.3; ssl_session_tickets on;
             add_header X-Content-Type-Options nosniff; add_header Cache-Control no-store;
           }}
         }}\n"
    );
    write("nginx.conf", configuration.as_bytes())?;
    let errors = root.join("errors");
    let output = File::create(&errors).map_err(BenchError::file("make", &errors))?;
    let mut command = Command::new("/usr/sbin/nginx");
    command.arg("-c").arg(root.join("nginx.conf")).arg("-p").arg(&root);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(output);
    let life = match Process::start(command, Vec::new()) {
        Err(LabError::Start { source, .. }) => return Err(BenchError::Web("nginx", source.to_string())),
        other => other?,
    };
    let begin = Instant::now();
    while client.connect(port, 1).is_err() {
        if begin.elapsed() > START_WITHIN || !life.runs() {
            let said = std::fs::read_to_string(&errors).unwrap_or_default();
            return Err(BenchError::Web("nginx", said.trim().to_owned()));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(Server { name: "nginx", process: life.id(), port, _life: life })
}
