"""Every source of posed frames behind one type, `Sequence`: rendered rooms and recordings."""
