//! The lab's command for people: it parses what it is told and prints. What it does with machines is the library's.

mod command;

use command::options::{self, Wish};
use drawbridge_lab::array;
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
        Ok(Wish::HelpForBridge) => {
            print!("{}", options::BRIDGE_USAGE);
            ExitCode::SUCCESS
        }
        Ok(Wish::Bridge(words, state)) => match command::orders::send(&words, &state) {
            Ok(code) => code,
            Err(error) => {
                eprintln!("lab: {error}");
                ExitCode::FAILURE
            }
        },
        Ok(Wish::HelpForArray) => {
            print!("{}{}", options::ARRAY_USAGE, array::ORDERS);
            ExitCode::SUCCESS
        }
        Ok(Wish::Array(options)) => match command::array::run(&options) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("lab: {error}");
                ExitCode::FAILURE
            }
        },
        Ok(Wish::TellArray(socket, order)) => match array::tell(&socket, &order) {
            Ok(said) => {
                println!("{said}");
                ExitCode::SUCCESS
            }
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
