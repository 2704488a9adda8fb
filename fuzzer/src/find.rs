//! Something that must not be.

use std::fmt;

#[derive(Clone, Debug)]
pub struct Find {
    pub class: Class,
    pub text: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    /// The guest ended otherwise than by the end of its command.
    Ended,
    /// No sign of life.
    Hang,
    /// A message of the guest kernel that is no ordinary one.
    Message,
    /// Told from inside the guest: wrong memory, a process that cannot be killed.
    Inside,
    /// The host answers otherwise.
    Answer,
    /// A file of the host has changed.
    HostFile,
    /// More of the host's memory than the guest's size allows.
    Memory,
    /// Processes, files or mounts that stayed.
    Left,
}

impl Find {
    pub fn new(class: Class, text: impl Into<String>) -> Find {
        Find { class, text: text.into() }
    }

    /// Whether it is likely to be the same fault: the same but for numbers.
    pub fn is_like(&self, other: &Find) -> bool {
        let same_text = match self.class {
            Class::Hang | Class::Memory | Class::Left => true,
            Class::Ended | Class::Message | Class::Inside | Class::Answer | Class::HostFile => {
                self.essence() == other.essence()
            }
        };
        self.class == other.class && same_text
    }

    /// The text's letters without its numbers.
    fn essence(&self) -> String {
        // Where it was seen comes last.
        let text = self.text.split("; in step").next().unwrap_or(&self.text);
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        words.filter(|word| !word.starts_with(|c: char| c.is_ascii_digit())).take(40).collect::<Vec<_>>().join(" ")
    }
}

impl fmt::Display for Find {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let class = match self.class {
            Class::Ended => "the guest ended",
            Class::Hang => "the guest hangs",
            Class::Message => "a message of the guest kernel",
            Class::Inside => "seen in the guest",
            Class::Answer => "another answer than the host's",
            Class::HostFile => "a file of the host changed",
            Class::Memory => "too much of the host's memory",
            Class::Left => "something is left on the host",
        };
        write!(f, "{class}: {}", self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn likeness() {
        let find = |text: &str| Find::new(Class::Message, text);
        assert!(find("panicked at mm/vma.rs:145: 0x1000").is_like(&find("panicked at mm/vma.rs:146: 0x7f00")));
        assert!(!find("panicked at mm/vma.rs:145").is_like(&find("panicked at mm/map.rs:145")));
    }
}
