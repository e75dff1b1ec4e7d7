//! `verify`: says whether an exported recording or audit is as the appliance sealed it, and where not. It needs no network and no
//! other program, changes nothing that is there, and shows nothing of what it reads but what it is, who came in, and the places of breaks. What is
//! encrypted it writes into a folder where the customer's key is given.

mod arguments;

use arguments::{Arguments, Wanted};
use drawbridge_verify::{Found, Source, check, check_audit, open};
use std::io::Write as _;
use std::process::ExitCode;

/// Something is wrong with what was looked at, or its end is not signed.
const BROKEN: u8 = 1;
/// It could not be looked at.
const UNREADABLE: u8 = 2;

fn main() -> ExitCode {
    let arguments = match Arguments::read(lexopt::Parser::from_env()) {
        Ok(Wanted::Help) => {
            print!("{}", arguments::HELP);
            return ExitCode::SUCCESS;
        }
        Ok(Wanted::Run(arguments)) => arguments,
        Err(error) => {
            eprintln!("verify: {error}");
            return ExitCode::from(UNREADABLE);
        }
    };
    let mut out = Vec::new();
    let code = match run(&arguments, &mut out) {
        Ok(code) => code,
        Err(sentence) => {
            eprintln!("verify: {sentence}");
            UNREADABLE
        }
    };
    // Who closes the pipe has read enough; the verdict is the exit code too.
    let _ = std::io::stdout().write_all(&out);
    ExitCode::from(code)
}

fn run(arguments: &Arguments, out: &mut Vec<u8>) -> Result<u8, String> {
    let path = arguments.path.display();
    let segments = Source::segments(&arguments.path).map_err(|error| format!("{path}: {error}"))?;
    if !segments.is_empty() {
        if arguments.opening.is_some() {
            return Err(format!("{path}: an audit is never encrypted, so there is nothing to open"));
        }
        let found =
            check_audit(segments, &arguments.expected, out).map_err(|why| format!("{path}: {why}"))?;
        return Ok(if found == Found::Whole { 0 } else { BROKEN });
    }
    let mut source = Source::open(&arguments.path).map_err(|error| format!("{path}: {error}"))?;
    let found = check(&mut source, &arguments.expected, out).map_err(|why| format!("{path}: {why}"))?;
    if let Some((key, folder)) = &arguments.opening {
        open(&source, key, folder, out).map_err(|why| {
            // What was found is not lost by that.
            let found = String::from_utf8_lossy(out);
            format!("{path} could not be opened: {why}\n{found}")
        })?;
    }
    Ok(if found == Found::Whole { 0 } else { BROKEN })
}
