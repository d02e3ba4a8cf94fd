//! One line of a trace.

/// The name by which the kernel knows the installer.
const PROGRAM: &str = "<chom-install>";

/// A call of the installer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Call {
    /// `rename`.
    pub name: String,
    /// It came to nothing; what it asked for it has asked for all the same.
    pub failed: bool,
    /// As they stand in the trace, strings decoded.
    args: Vec<Arg>,
    /// The descriptor that it gave.
    gave: Option<(u32, String)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Arg {
    /// `"\x2f\x61"`
    Text(Vec<u8>),
    /// `3<\x2f\x61>`: number and path; of something that has no name any more, no path.
    Descriptor(u32, String),
    /// `AT_FDCWD<\x2f>`
    Here(String),
    /// Flags, numbers, structures.
    Other(String),
}

impl Call {
    /// Reads a line; none when it is another program's or no whole call.
    pub fn parse(line: &str) -> Option<Self> {
        let (who, rest) = line.split_once(' ')?;
        if !who.ends_with(PROGRAM) && !who.ends_with(&hex(PROGRAM)) {
            return None;
        }
        let (body, result) = rest.trim_start().rsplit_once(" = ")?;
        let (name, args) = body.trim_end().strip_suffix(')')?.split_once('(')?;
        let gave = match parse(result.trim_end()) {
            Arg::Descriptor(number, path) => Some((number, path)),
            _ => None,
        };
        let args = split(args).iter().map(|arg| parse(arg)).collect();
        Some(Self { name: name.to_owned(), failed: result.starts_with(['-', '?']), args, gave })
    }

    /// An argument.
    pub(super) fn arg(&self, at: usize) -> Option<&Arg> {
        self.args.get(at)
    }

    /// Every descriptor that it names or gave, with its path.
    pub(super) fn descriptors(&self) -> impl Iterator<Item = (u32, &str)> {
        let named = self.args.iter().filter_map(|arg| match arg {
            Arg::Descriptor(number, path) => Some((*number, path.as_str())),
            _ => None,
        });
        named.chain(self.gave.iter().map(|(number, path)| (*number, path.as_str())))
    }

    /// The bytes of a string.
    pub(super) fn bytes(&self, at: usize) -> &[u8] {
        match self.args.get(at) {
            Some(Arg::Text(bytes)) => bytes,
            _ => &[],
        }
    }

    /// Whether a flag is given.
    pub(super) fn has(&self, flag: &str) -> bool {
        let is_flag = |word: &str| word == flag;
        let given =
            |text: &str| text.split(|letter: char| !letter.is_alphanumeric() && letter != '_').any(is_flag);
        self.args.iter().any(|arg| matches!(arg, Arg::Other(text) if given(text)))
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
    let other = || Arg::Other(arg.to_owned());
    let Some((number, path)) = arg.split_once('<') else { return other() };
    let path = match path.strip_suffix('>') {
        Some(path) => String::from_utf8_lossy(&decode(path)).into_owned(),
        None if path.ends_with(">(deleted)") => String::new(),
        None => return other(),
    };
    match number.parse() {
        Ok(number) => Arg::Descriptor(number, path),
        Err(_) if number == "AT_FDCWD" => Arg::Here(path),
        Err(_) => other(),
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
