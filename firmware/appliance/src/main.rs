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
    let role = Role::of_name(name).or_else(|| Role::of_name(&arguments.next().unwrap_or_default()));
    match role {
        Some(role) if role != Role::Init => locked(role),
        _ => {
            eprintln!(
                "drawbridge: this is the whole of a Support Appliance: it runs as init, and starts its roles itself"
            );
            ExitCode::FAILURE
        }
    }
}

/// Runs a role, but only locked into its sandbox.
fn locked(role: Role) -> ExitCode {
    drawbridge_bus::logger::start();
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
    }
}
