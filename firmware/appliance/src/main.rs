//! The one binary of the appliance: from its name or first argument to the role that it is, and nothing else.

use drawbridge_bus::Role;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args();
    let name = arguments.next().unwrap_or_default();
    // PID 1 whatever its name is: nothing that follows may depend on how the kernel was told to start it.
    if std::process::id() == 1 {
        drawbridge_init::run();
    }
    let name = name.rsplit('/').next().unwrap_or_default();
    #[cfg(feature = "lab")]
    if let Some(code) = drawbridge_init::lab::attempt() {
        return code;
    }
    let role = Role::of_name(name);
    // Init says it twice: by the name, for the process table, and by the first argument.
    let first = Role::of_name(&arguments.next().unwrap_or_default());
    let role = role.or(first);
    match role {
        Some(role) if role != Role::Init => locked(role, &arguments.collect::<Vec<_>>()),
        _ => {
            eprintln!(
                "drawbridge: this is the whole of a Support Appliance: it runs as init, and starts its roles itself"
            );
            ExitCode::FAILURE
        }
    }
}

/// Runs a role, but only locked into its sandbox. `arguments` follow its name.
fn locked(role: Role, arguments: &[String]) -> ExitCode {
    start_log(role);
    // For whoever reads the kernel's log: the binary is the same for all, the name is not.
    if let Err(error) = drawbridge_sandbox::name_process(role.name()) {
        log::warn!("{error}");
    }
    let Some(profile) = drawbridge_init::table::profile(role) else { return ExitCode::FAILURE };
    if let Err(error) = drawbridge_sandbox::lock(profile) {
        log::error!("the {role} role is not run: {error}");
        return ExitCode::FAILURE;
    }
    match role {
        Role::Init => ExitCode::FAILURE,
        Role::Network => drawbridge_network::run(),
        Role::Console => drawbridge_console::run(),
        Role::Session => drawbridge_session::run(),
        Role::Recorder => drawbridge_recorder::run(),
        Role::Tunnel => drawbridge_tunnel::run(),
        Role::Sshd => drawbridge_sshd::run(),
        Role::Shell => drawbridge_shell::run(arguments),
        Role::Courier => drawbridge_courier::run(),
    }
}

/// A role's log is its standard error; that of a process which has an engineer's is beside it.
fn start_log(role: Role) {
    let beside = (role == Role::Shell).then(|| drawbridge_bus::inherited_file(drawbridge_bus::LISTENER));
    match beside {
        Some(Ok(file)) => drawbridge_bus::logger::start_to(file),
        _ => drawbridge_bus::logger::start(),
    }
}
