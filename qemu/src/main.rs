//! The lab's command for people: it parses what it is told and prints. What it does with machines is the library's.

mod command;

use command::options::{self, Wish};
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = std::env::args_os().skip(1);
    match options::parse(arguments) {
        Ok(Wish::Help) => {
            print!("{}", options::USAGE);
            ExitCode::SUCCESS
        }
        Ok(Wish::HelpForRun) => {
            print!("{}", options::RUN_USAGE);
            ExitCode::SUCCESS
        }
        Ok(Wish::Run(options)) => match command::run::run(&options) {
            Ok(code) => code,
            Err(error) => {
                eprintln!("lab: {error}");
                ExitCode::FAILURE
            }
        },
        Err(error) => {
            eprintln!("lab: {error}");
            ExitCode::from(2)
        }
    }
}
