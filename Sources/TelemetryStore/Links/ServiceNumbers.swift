/// Services as numbers over the dictionaries of everything that one answer reads; 0 = unknown.
struct ServiceNumbers {
    private(set) var names: [String] = [""]
    private var numbers: [String: Int32] = ["": 0]

    mutating func number(_ name: String) -> Int32 {
        if let known = numbers[name] { return known }
        let number = Int32(clamping: names.count)
        numbers[name] = number
        names.append(name)
        return number
    }

    func precedes(_ one: Int, _ other: Int) -> Bool { names[one].utf8.lexicographicallyPrecedes(names[other].utf8) }
}
