/// The deepest nesting of JSON that is read.
pub const MAX_DEPTH: usize = 32;

/// Whether JSON is nested no deeper than [`MAX_DEPTH`]. Looks at brackets outside strings alone: what is
/// no JSON at all may pass, and is found by its reader.
pub fn is_bounded(json: &[u8]) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in json {
        match (in_string, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (_, b'"') => in_string = !in_string,
            (false, b'[' | b'{') => {
                depth = depth.saturating_add(1);
                if depth > MAX_DEPTH {
                    return false;
                }
            }
            (false, b']' | b'}') => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    true
}
