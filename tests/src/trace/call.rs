//! One line of a trace.

/// The name by which the kernel knows the installer.
const PROGRAM: &str = "<chom-install>";

/// A call of the installer that succeeded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Call {
    /// `rename`.
    pub name: String,
    /// As they stand in the trace, strings decoded.
    args: Vec<Arg>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Arg {
    /// `"\x2f\x61"`
    Text(Vec<u8>),
    /// `3<\x2f\x61>`
    Descriptor(String),
    /// Flags, numbers, structures.
    Other(String),
}

impl Call {
    /// Reads a line; none when it is another program's, failed, or is no whole call.
    pub fn parse(line: &str) -> Option<Self> {
        let (who, rest) = line.split_once(' ')?;
        let (body, result) = rest.trim_start().rsplit_once(" = ")?;
        if !who.ends_with(PROGRAM) && !who.ends_with(&hex(PROGRAM)) || result.starts_with('-') {
            return None;
        }
        let (name, args) = body.trim_end().strip_suffix(')')?.split_once('(')?;
        Some(Self { name: name.to_owned(), args: split(args).iter().map(|arg| parse(arg)).collect() })
    }

    /// The path of a descriptor.
    pub fn path(&self, at: usize) -> String {
        match self.args.get(at) {
            Some(Arg::Descriptor(path)) => path.clone(),
            _ => String::new(),
        }
    }

    /// The bytes of a string.
    pub fn bytes(&self, at: usize) -> &[u8] {
        match self.args.get(at) {
            Some(Arg::Text(bytes)) => bytes,
            _ => &[],
        }
    }

    /// Its strings, as paths.
    pub fn paths(&self) -> Vec<String> {
        let text = |arg: &Arg| match arg {
            Arg::Text(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
            _ => None,
        };
        self.args.iter().filter_map(text).collect()
    }

    /// The first of them.
    pub fn first_path(&self) -> String {
        self.paths().into_iter().next().unwrap_or_default()
    }

    /// The last of them.
    pub fn last_path(&self) -> String {
        self.paths().pop().unwrap_or_default()
    }

    /// Whether a file comes into being.
    pub fn creates(&self) -> bool {
        self.args.iter().any(|arg| matches!(arg, Arg::Other(flags) if flags.contains("O_CREAT")))
    }
}

fn split(args: &str) -> Vec<&str> {
    let (mut parts, mut start, mut depth, mut quoted) = (Vec::new(), 0, 0i32, false);
    for (at, letter) in args.char_indices() {
        match letter {
            '"' => quoted = !quoted,
            '[' | '{' | '<' if !quoted => depth += 1,
            ']' | '}' | '>' if !quoted => depth -= 1,
            ',' if !quoted && depth == 0 => {
                parts.push(args[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(args[start..].trim());
    parts
}

fn parse(arg: &str) -> Arg {
    if let Some(text) = arg.strip_prefix('"').and_then(|text| text.split('"').next()) {
        return Arg::Text(decode(text));
    }
    match arg.split_once('<').and_then(|(number, path)| Some((number, path.strip_suffix('>')?))) {
        Some((number, path)) if number.parse::<u32>().is_ok() => {
            Arg::Descriptor(String::from_utf8_lossy(&decode(path)).into_owned())
        }
        _ => Arg::Other(arg.to_owned()),
    }
}

/// `\x2f\x61`, or plain text.
fn decode(text: &str) -> Vec<u8> {
    if !text.starts_with("\\x") {
        return text.as_bytes().to_vec();
    }
    text.split("\\x").skip(1).filter_map(|byte| u8::from_str_radix(byte.get(..2)?, 16).ok()).collect()
}

fn hex(text: &str) -> String {
    let inner = text.trim_matches(['<', '>']);
    format!("<{}>", inner.bytes().map(|byte| format!("\\x{byte:02x}")).collect::<String>())
}
