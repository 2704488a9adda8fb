//! From a program that fails to a shorter one that still does: without some of its processes,
//! threads and steps, and with plainer arguments.

use crate::program::{Program, Step, Value};
use std::time::Instant;

/// `fails` runs a program and judges it; it is not asked any more after `until`.
pub fn reduce(mut program: Program, until: Instant, fails: &mut dyn FnMut(&Program) -> bool) -> Program {
    let mut try_out = |candidate: &Program| Instant::now() < until && fails(candidate);
    loop {
        let before = program.clone();
        program = without_processes(program, &mut try_out);
        program = without_threads(program, &mut try_out);
        program = without_steps(program, &mut try_out);
        program = with_plain_arguments(program, &mut try_out);
        if program == before || Instant::now() >= until {
            return program;
        }
    }
}

type Fails<'a> = &'a mut dyn FnMut(&Program) -> bool;

fn without_processes(mut program: Program, fails: Fails) -> Program {
    for n in (0..program.processes.len()).rev() {
        let mut candidate = program.clone();
        candidate.processes.remove(n);
        if !candidate.processes.is_empty() && fails(&candidate) {
            program = candidate;
        }
    }
    program
}

fn without_threads(mut program: Program, fails: Fails) -> Program {
    for process in 0..program.processes.len() {
        for n in (0..program.processes[process].len()).rev() {
            let mut candidate = program.clone();
            candidate.processes[process].remove(n);
            if !candidate.processes[process].is_empty() && fails(&candidate) {
                program = candidate;
            }
        }
    }
    program
}

/// Takes out runs of steps, long ones first: of all threads in turn, from their ends.
fn without_steps(mut program: Program, fails: Fails) -> Program {
    let longest = program.processes.iter().flatten().map(Vec::len).max().unwrap_or(0);
    let mut run = longest.div_ceil(2);
    while run > 0 {
        for process in 0..program.processes.len() {
            for thread in 0..program.processes[process].len() {
                let mut end = program.processes[process][thread].len();
                while end > 0 {
                    let start = end.saturating_sub(run);
                    let mut candidate = program.clone();
                    candidate.processes[process][thread].drain(start..end);
                    if fails(&candidate) {
                        program = candidate;
                    }
                    end = start;
                }
            }
        }
        run /= 2;
    }
    program
}

fn with_plain_arguments(mut program: Program, fails: Fails) -> Program {
    for process in 0..program.processes.len() {
        for thread in 0..program.processes[process].len() {
            for step in 0..program.processes[process][thread].len() {
                for arg in 0..program.processes[process][thread][step].args.len() {
                    let value = &program.processes[process][thread][step].args[arg];
                    for plainer in plainer(value) {
                        let mut candidate = program.clone();
                        let Step { args, .. } = &mut candidate.processes[process][thread][step];
                        args[arg] = plainer;
                        if fails(&candidate) {
                            program = candidate;
                            break;
                        }
                    }
                }
            }
        }
    }
    program
}

/// Values to try in place of one, the plainest first.
fn plainer(value: &Value) -> Vec<Value> {
    match value {
        Value::Int(0) => Vec::new(),
        Value::Int(n) if n.is_power_of_two() || *n == u64::MAX => vec![Value::Int(0)],
        Value::Int(n) => vec![Value::Int(0), Value::Int(n & n.wrapping_neg()), Value::Int(1 << n.ilog2())],
        Value::Data { fields, at_border } => {
            let mut all = vec![Value::Int(0), Value::Out(fields.iter().map(|field| u32::from(field.width)).sum())];
            if *at_border {
                all.push(Value::Data { fields: fields.clone(), at_border: false });
            }
            for n in 0..fields.len() {
                if fields[n].value != Value::Int(0) {
                    let mut fields = fields.clone();
                    fields[n].value = Value::Int(0);
                    all.push(Value::Data { fields, at_border: *at_border });
                }
            }
            all
        }
        Value::At(region, offset) if *offset != 0 => vec![Value::Int(0), Value::At(*region, 0)],
        Value::Text(text) if text.is_empty() => vec![Value::Int(0)],
        _ => vec![Value::Int(0)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::generate;
    use crate::program::Kind;
    use std::time::Duration;

    #[test]
    fn what_matters_stays() {
        let mut program =
            (0..).map(|seed| generate(Kind::Syscalls, seed)).find(|program| program.processes.len() == 3).expect("one");
        let steps = program.processes[1][0].clone();
        program.processes[1][0] =
            steps.iter().chain(generate(Kind::Syscalls, 1).processes[0][0].iter()).cloned().collect();
        let names: Vec<&str> = [3, 17].map(|n| program.processes[1][0][n].call.name).into();
        let until = Instant::now() + Duration::from_secs(60);
        let reduced = reduce(program, until, &mut |candidate| {
            let thread = candidate.processes.iter().flatten().find(|steps| {
                let mut wanted = names.iter().peekable();
                for step in *steps {
                    wanted.next_if(|name| **name == step.call.name);
                }
                wanted.peek().is_none()
            });
            thread.is_some()
        });
        assert_eq!(reduced.steps(), 2, "{reduced}");
        assert_eq!(reduced.processes.len(), 1);
    }
}
